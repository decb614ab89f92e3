//! Chores of the repository.

mod c_guest;
mod guests;
mod wasm_target;

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("guests") => {
            let toolchain = wasm_target::ensure()?;
            for path in guests::build_all(&toolchain)? {
                println!("{}", path.display());
            }
            Ok(())
        }
        other => anyhow::bail!("unknown chore {other:?}: there is `guests`"),
    }
}
