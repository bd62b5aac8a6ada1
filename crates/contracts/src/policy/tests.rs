//! The contracts as they are have no hole, and every kind of hole is found.

mod broken;
mod contracts;
mod hidden;
mod redaction;

use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

use super::*;

/// The one file of a descriptor set made for a test; everything else is the real thing.
struct TestFile(String);

impl FileResolver for TestFile {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == "test.proto" {
            File::from_source(name, &self.0)
        } else {
            Err(protox::Error::file_not_found(name))
        }
    }
}

/// Compiles a file's declarations, in package `test.v1`, into a descriptor set.
fn compile(declarations: &str) -> Vec<u8> {
    let source = format!(
        "syntax = \"proto3\";\npackage test.v1;\nimport \"vitrine/common/v1/options.proto\";\n{declarations}"
    );
    let mut resolver = ChainFileResolver::new();
    resolver.add(TestFile(source));
    resolver.add(IncludeFileResolver::new(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto").into(),
    ));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    match compiler.open_file("test.proto") {
        Ok(compiler) => compiler.encode_file_descriptor_set(),
        Err(error) => panic!("the test's own proto text does not compile: {error:?}"),
    }
}

fn load(declarations: &str) -> Result<Policies, Vec<PolicyError>> {
    Policies::load_from(&compile(declarations))
}
