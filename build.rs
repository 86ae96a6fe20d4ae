//! Lets the binary and the tests find libtorch at run time without environment variables.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    let Some(libtorch) = std::env::var_os("LIBTORCH") else {
        return;
    };
    let libraries = std::path::Path::new(&libtorch).join("lib");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libraries.display());
    // Where an executable that moved with its own copy of the libraries finds them.
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/lib");
}
