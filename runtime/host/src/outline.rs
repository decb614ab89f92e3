//! What a component is and wants, read from the names at its top, before it is compiled.

use wasmparser::{ComponentTypeRef, Encoding, Parser, Payload};

use crate::refusal::Refusal;
use crate::world::{World, outgoing_http};

/// What the names at the top of a component say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) world: World,
    /// Sorted.
    pub(crate) imports: Vec<String>,
}

/// How an import stands to what a component's world grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is always there.
    Granted,
    /// It is there where a grant of the deploy says so.
    ByGrant,
    /// It is not there: the component is refused.
    Refused,
}

/// What the names at the top of a component say to whoever wants to deploy it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What it is; none where its exports fit no world, or several.
    pub world: Option<World>,
    /// What it imports, by name, sorted.
    pub imports: Vec<(String, Standing)>,
    /// What it exports, by name, sorted.
    pub exports: Vec<String>,
    /// Why it would not be admitted, as far as names tell.
    pub refusal: Option<Refusal>,
}

/// Reads what a component is and wants, without compiling it.
///
/// # Errors
/// Where it is no component at all.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, Refusal> {
    check_kind(bytes)?;
    let (imports, exports) = names(bytes)?;
    let outlined = outline(bytes);
    let world = match &outlined {
        Ok(outline) => Some(outline.world),
        Err(Refusal::ImportNotGranted { world, .. }) => Some(*world),
        Err(_) => None,
    };
    let standing = |import: &String| match world {
        Some(world) if !world.is_granted(import) => Standing::Refused,
        Some(_) if outgoing_http(std::slice::from_ref(import)).is_some() => Standing::ByGrant,
        Some(_) => Standing::Granted,
        None => Standing::Refused,
    };
    let imports = imports.into_iter().map(|import| (import.clone(), standing(&import))).collect();
    Ok(Inspection { world, imports, exports, refusal: outlined.err() })
}

fn check_kind(bytes: &[u8]) -> Result<(), Refusal> {
    if wasmtime::Engine::detect_precompiled(bytes).is_some() || bytes.starts_with(b"\x7fELF") {
        return Err(Refusal::Native);
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(Refusal::Invalid("it does not even begin as WebAssembly does".to_owned()));
    }
    Ok(())
}

/// Reads the component's own imports and exports, without compiling it.
pub(crate) fn outline(bytes: &[u8]) -> Result<Outline, Refusal> {
    check_kind(bytes)?;
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
            granted: list(&world.grants().map(|grant| grant.trim_end_matches('.')).collect::<Vec<_>>()),
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

/// Names in words, at most thirty of them.
fn list(names: &[impl AsRef<str>]) -> String {
    const NAMES_MAX: usize = 30;
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
