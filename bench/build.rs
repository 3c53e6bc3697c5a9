//! Tells `figures` which compiler it was built with: counted instructions depend on it.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Cargo names the compiler to build scripts, and runs them again when it is another one.
    let rustc = env::var_os("RUSTC").expect("cargo sets it");
    let output = Command::new(rustc).arg("--version").output().expect("cargo has just run it");
    let version = String::from_utf8(output.stdout).expect("a version is text");
    println!("cargo::rustc-env=BENCH_RUSTC={}", version.trim());
}
