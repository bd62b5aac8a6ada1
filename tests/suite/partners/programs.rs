//! The programs of `tests/partners`, with what they need installed below the target folder. Where an interpreter or the
//! package registry is missing they are skipped, with a line that says so; with `CI=true` that is a failure.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, bail};

/// A language's interpreter and where its scripts are.
#[derive(Clone)]
pub struct Program {
    interpreter: PathBuf,
    scripts: PathBuf,
    extension: &'static str,
    /// Arguments after partner.json.
    arguments: Vec<PathBuf>,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Program {
    /// A script, told where partner.json is.
    pub fn command(&self, script: &str, partner: &Path) -> tokio::process::Command {
        let path = self.scripts.join(script).with_extension(self.extension);
        let mut command = tokio::process::Command::new(&self.interpreter);
        command.arg(path).arg(partner).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// The programs in Python, in an environment of their own and with the contracts compiled for them.
pub fn python() -> Option<Program> {
    static READY: OnceLock<Option<Program>> = OnceLock::new();
    READY
        .get_or_init(|| {
            usable(
                "Python (python3 with venv, 3.10 or later)",
                install_python(),
            )
        })
        .clone()
}

/// The programs in Node, beside their packages.
pub fn node() -> Option<Program> {
    static READY: OnceLock<Option<Program>> = OnceLock::new();
    READY
        .get_or_init(|| usable("Node (node and npm, 20 or later)", install_node()))
        .clone()
}

fn usable(what: &str, program: anyhow::Result<Program>) -> Option<Program> {
    let error = match program {
        Ok(program) => return Some(program),
        Err(error) => format!("{error:#}"),
    };
    assert!(
        kit::config::env_var("CI").as_deref() != Some("true"),
        "the partners in {what} cannot run, and CI=true says that they must: {error}"
    );
    let line = format!("\nSKIPPED: the partners in {what}: {error}\n");
    // Not eprintln!, which libtest keeps to itself when the test passes.
    let _ = std::io::stderr().write_all(line.as_bytes());
    None
}

fn tests() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn proto() -> PathBuf {
    tests().join("../proto")
}

/// A folder below the target folder, for good: installing takes a while.
fn installed(language: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("partners")
        .join(language)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let done = command
        .output()
        .with_context(|| format!("{:?} cannot be started", command.get_program()))?;
    if !done.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}

/// What an interpreter says of its version; it has to be at least this one.
fn version(interpreter: &str, least: (u32, u32)) -> anyhow::Result<String> {
    let asked = Command::new(interpreter)
        .arg("--version")
        .output()
        .with_context(|| format!("{interpreter} cannot be started"))?;
    let said = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    let mut numbers = said
        .trim_start_matches(|c: char| !c.is_ascii_digit())
        .split('.')
        .map_while(|n| n.parse::<u32>().ok());
    let found = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    if found < least {
        bail!(
            "{interpreter} is {said}, older than {}.{}",
            least.0,
            least.1
        );
    }
    Ok(said)
}

/// Does what is wanted unless it was done for the same content before.
fn once_for(
    folder: &Path,
    content: &str,
    install: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stamp = folder.join("installed-for");
    if std::fs::read_to_string(&stamp).is_ok_and(|known| known == content) {
        return Ok(());
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    install()?;
    Ok(std::fs::write(stamp, content)?)
}

fn install_python() -> anyhow::Result<Program> {
    let scripts = tests().join("partners/python");
    let requirements = scripts.join("requirements.txt");
    let folder = installed("python");
    let interpreter = folder.join("venv/bin/python");
    let version = version("python3", (3, 10))?;
    let content = format!("{version}\n{}", std::fs::read_to_string(&requirements)?);
    once_for(&folder, &content, || {
        run(Command::new("python3")
            .args(["-m", "venv"])
            .arg(folder.join("venv")))?;
        run(Command::new(&interpreter)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(&requirements))
    })?;
    let stubs = folder.join("stubs");
    if stubs.exists() {
        std::fs::remove_dir_all(&stubs)?;
    }
    std::fs::create_dir_all(&stubs)?;
    run(Command::new(&interpreter)
        .args(["-m", "grpc_tools.protoc", "-I"])
        .arg(proto())
        .arg(out("--python_out=", &stubs))
        .arg(out("--grpc_python_out=", &stubs))
        .args(contracts(&proto())?))?;
    Ok(Program {
        interpreter,
        scripts,
        extension: "py",
        arguments: Vec::new(),
        environment: vec![
            ("PYTHONPATH", stubs),
            // No compiled files in the source tree.
            ("PYTHONDONTWRITEBYTECODE", "1".into()),
        ],
    })
}

fn out(flag: &str, folder: &Path) -> String {
    format!("{flag}{}", folder.display())
}

/// Every file of the contracts.
fn contracts(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "proto") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn install_node() -> anyhow::Result<Program> {
    let sources = tests().join("partners/node");
    let folder = installed("node");
    let version = version("node", (20, 0))?;
    let lock = std::fs::read_to_string(sources.join("package-lock.json"))?;
    once_for(&folder, &format!("{version}\n{lock}"), || {
        for name in ["package.json", "package-lock.json", ".npmrc"] {
            std::fs::copy(sources.join(name), folder.join(name))?;
        }
        run(Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&folder))
    })?;
    // Node looks for packages beside the file that imports them.
    for entry in std::fs::read_dir(&sources)? {
        let path = entry?.path();
        if let (true, Some(name)) = (
            path.extension().is_some_and(|e| e == "mjs"),
            path.file_name(),
        ) {
            std::fs::copy(&path, folder.join(name))?;
        }
    }
    Ok(Program {
        interpreter: "node".into(),
        scripts: folder,
        extension: "mjs",
        arguments: vec![proto()],
        environment: Vec::new(),
    })
}
