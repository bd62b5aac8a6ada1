//! Compiles every `.proto` under the repository's `proto` directory, without protoc.
//!
//! Three things come out: the descriptor set with every custom option in it, the Rust code of messages,
//! clients and servers, and `Debug` for messages that hold personal data or credentials, which must never
//! reach a log.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use protox::prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

#[path = "src/policy/credential.rs"]
mod credential;

const PROTO_ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");

/// `PersonalData.PERSONAL_DATA_DIRECT` in `vitrine/common/v1/options.proto`.
const DIRECT: i32 = 2;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/policy/credential.rs");

    #[allow(
        clippy::disallowed_methods,
        reason = "the way in which cargo tells a build script where to write"
    )]
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

    let secretive = secretive_messages(&compiler.descriptor_pool());
    let mut debug = String::new();
    for message in &secretive {
        write_debug(message, &mut debug)?;
    }
    fs::write(out_dir.join("hidden_debug.rs"), debug)?;

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        // Clients are built on the kit's `Wire`, never on a transport of their own.
        .build_transport(false)
        .codec_path("crate::codec::Codec")
        .skip_debug(
            secretive
                .iter()
                .map(|message| format!(".{}", message.full_name())),
        )
        .include_file("vitrine.rs")
        .compile_fds_with_config(for_code, config)?;
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

/// Messages that have a field which no log may show.
fn secretive_messages(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    pool.all_messages()
        .filter(|message| message.fields().any(|field| is_hidden(&field)))
        .collect()
}

fn is_hidden(field: &FieldDescriptor) -> bool {
    let text = matches!(field.kind(), Kind::String | Kind::Bytes);
    is_direct(field) || (text && credential::is_credential(field.name()))
}

/// Whether the field identifies or reaches a person.
fn is_direct(field: &FieldDescriptor) -> bool {
    let pool = field.parent_message().parent_pool().clone();
    let Some(extension) = pool.get_extension_by_name("vitrine.common.v1.field") else {
        return false;
    };
    let options = field.options();
    let policy = options.get_extension(&extension);
    policy
        .as_message()
        .and_then(|policy| policy.get_field_by_name("personal_data")?.as_enum_number())
        == Some(DIRECT)
}

/// Writes `Debug` for a message, with a placeholder for what is hidden.
fn write_debug(message: &MessageDescriptor, out: &mut String) -> Result<(), Box<dyn Error>> {
    let name = message.name();
    if message.parent_message().is_some() || message.oneofs().any(|oneof| !oneof.is_synthetic()) {
        return Err(format!(
            "{} holds personal data or a credential and is nested or has a oneof; move the hidden fields to a \
             message of their own at the top level",
            message.full_name()
        )
        .into());
    }
    let path = message.package_name().replace('.', "::");
    writeln!(out, "impl ::core::fmt::Debug for {path}::{name} {{")?;
    writeln!(
        out,
        "    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{"
    )?;
    writeln!(out, "        f.debug_struct({name:?})")?;
    for field in message.fields() {
        let field_name = field.name();
        if is_hidden(&field) {
            writeln!(
                out,
                "            .field({field_name:?}, &::core::format_args!(\"<hidden>\"))"
            )?;
        } else {
            writeln!(
                out,
                "            .field({field_name:?}, &self.r#{field_name})"
            )?;
        }
    }
    writeln!(out, "            .finish()\n    }}\n}}")?;
    Ok(())
}
