//! Lets the binary and the tests find libtorch at run time without environment variables.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    let Some(libtorch) = std::env::var_os("LIBTORCH") else {
        println!("cargo:rustc-env=TUTELAGE_LIBTORCH=unknown");
        return;
    };
    let libtorch = Path::new(&libtorch);
    println!("cargo:rustc-env=TUTELAGE_LIBTORCH={}", version(libtorch));
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libtorch.join("lib").display());
    // Where an executable that moved with its own copy of the libraries finds them.
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/lib");
}

/// Reads the version from what the Python wheel (`version.py`) or the C++ archive
/// (`build-version`) states.
fn version(libtorch: &Path) -> String {
    if let Ok(text) = std::fs::read_to_string(libtorch.join("build-version")) {
        return text.trim().to_owned();
    }
    let text = std::fs::read_to_string(libtorch.join("version.py")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("__version__ = "));
    line.map_or("unknown".to_owned(), |value| value.trim_matches(['\'', '"']).to_owned())
}
