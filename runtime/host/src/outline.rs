//! What a component is and wants, read from the names at its top, before it is compiled.

use wasmparser::{ComponentTypeRef, Encoding, Parser, Payload};

use crate::refusal::Refusal;
use crate::world::World;

/// What the names at the top of a component say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) world: World,
    /// Sorted.
    pub(crate) imports: Vec<String>,
}

/// Reads the component's own imports and exports, without compiling it.
pub(crate) fn outline(bytes: &[u8]) -> Result<Outline, Refusal> {
    if wasmtime::Engine::detect_precompiled(bytes).is_some() || bytes.starts_with(b"\x7fELF") {
        return Err(Refusal::Native);
    }
    let (imports, exports) = names(bytes)?;
    let mut worlds: Vec<World> = exports.iter().filter_map(|name| World::of_export(name)).collect();
    worlds.dedup();
    let world = match worlds[..] {
        [world] => world,
        [] => return Err(Refusal::NoWorld { exports: list(&exports) }),
        [..] => {
            let worlds: Vec<String> = worlds.iter().map(World::to_string).collect();
            return Err(Refusal::SeveralWorlds { worlds: list(&worlds) });
        }
    };
    match imports.iter().find(|import| !world.is_granted(import)) {
        Some(import) => Err(Refusal::ImportNotGranted {
            import: import.clone(),
            world,
            granted: list(
                &world.grants().iter().map(|grant| grant.trim_end_matches('.')).collect::<Vec<_>>(),
            ),
        }),
        None => Ok(Outline { world, imports }),
    }
}

/// The names of the outermost component's imports (but for types) and exports, both sorted.
fn names(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), Refusal> {
    let invalid = |error: wasmparser::BinaryReaderError| Refusal::Invalid(error.to_string());
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(Refusal::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(invalid)?;
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    imports.sort();
    exports.sort();
    Ok((imports, exports))
}

/// Names in words, at most ten of them.
fn list(names: &[impl AsRef<str>]) -> String {
    const NAMES_MAX: usize = 10;
    let mut text =
        names.iter().take(NAMES_MAX).map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>();
    if names.len() > NAMES_MAX {
        text.push(format!("{} more", names.len() - NAMES_MAX));
    }
    if text.is_empty() { "nothing".to_owned() } else { text.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_core_modules_and_native_code_are_told_apart() {
        assert!(matches!(outline(b"garbage"), Err(Refusal::Invalid(_))));
        assert!(matches!(outline(b""), Err(Refusal::Invalid(_))));
        assert_eq!(outline(b"\0asm\x01\0\0\0"), Err(Refusal::CoreModule));
        assert_eq!(outline(b"\x7fELF\x02\x01\x01\0"), Err(Refusal::Native));
        let empty = outline(b"\0asm\x0d\0\x01\0");
        assert_eq!(empty, Err(Refusal::NoWorld { exports: "nothing".to_owned() }));
    }
}
