//! A new migration file changes the crate, which the compiler does not see by itself.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=migrations-keys");
}
