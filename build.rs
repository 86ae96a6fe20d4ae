//! Lets the binary and the tests find libtorch at run time without environment variables.

use std::path::Path;

fn main() {
    commit();
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

/// Names the commit that is built, with `-dirty` where files differ from it; nothing outside a repository.
fn commit() {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // A package inside somebody else's repository is not that repository's commit.
    if git(&["ls-files", "--error-unmatch", "build.rs"]).is_none() {
        return;
    }
    let Some(commit) = git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]) else { return };
    println!("cargo:rustc-env=TUTELAGE_COMMIT={commit}");
    // Changes with every commit; the rest with every edit, as it may make the tree differ.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    for path in log.iter().map(String::as_str).chain(["Cargo.lock", "src", "metrics/src", "reports/src"]) {
        if Path::new(path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
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
