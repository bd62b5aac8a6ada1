//! Compiles every `.proto` under the repository's `proto` directory, without protoc.
//!
//! Two things come out: the descriptor set with every custom option in it, and the Rust code of
//! messages, clients and servers.

use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

const PROTO_ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    println!("cargo:rerun-if-changed=build.rs");

    let out_dir = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut files = Vec::new();
    collect_protos(Path::new(PROTO_ROOT), &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&files)?;
    let for_code = compiler.file_descriptor_set();

    // Comments are for the code generator only: without them the set served by reflection is half as
    // big. It is encoded by protox because a set that went through prost-types has lost the options.
    compiler.include_source_info(false);
    fs::write(
        out_dir.join("vitrine.binpb"),
        compiler.encode_file_descriptor_set(),
    )?;

    tonic_prost_build::configure()
        // Clients are built on the kit's `Wire`, never on a transport of their own.
        .build_transport(false)
        .include_file("vitrine.rs")
        .compile_fds(for_code)?;
    Ok(())
}

fn collect_protos(dir: &Path, into: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_protos(&path, into)?;
        } else if path.extension() == Some(OsStr::new("proto")) {
            into.push(path);
        }
    }
    Ok(())
}
