fn main() {
    println!("cargo:rustc-cfg=storage_guard_loom");
    println!("cargo:rerun-if-changed=build.rs");
}
