use std::collections::BTreeMap;
use std::io::Write;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Config {
    name: String,
    server: Server,
    issuers: Vec<Issuer>,
    scopes: Vec<String>,
    limits: BTreeMap<String, u32>,
    format: Format,
    store: Store,
    note: Option<String>,
    extra: Option<Server>,
    ratio: f64,
    token: Secret,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Server {
    port: u16,
    drain_delay_s: u64,
    reflection: bool,
    offset: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Issuer {
    name: String,
    #[serde(default)]
    key: Secret,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Text,
    Json,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Store {
    Folder { path: String },
    Address(String),
}

impl Default for Config {
    fn default() -> Self {
        Config {
            name: "vitrine".to_owned(),
            // Not what `Server` defaults to on its own: the outer default must win.
            server: Server {
                port: 8080,
                ..Server::default()
            },
            issuers: Vec::new(),
            scopes: vec!["read".to_owned()],
            limits: BTreeMap::from([("orders".to_owned(), 10)]),
            format: Format::Text,
            store: Store::Folder {
                path: "data".to_owned(),
            },
            note: None,
            extra: None,
            ratio: 0.5,
            token: Secret::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Server {
            port: 1,
            drain_delay_s: 5,
            reflection: true,
            offset: 0,
        }
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn from_file(text: &str) -> Result<Config, ConfigError> {
    load(Some(file(text).path()), &Env::empty(), &[])
}

fn from_env(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load(None, &vars.iter().copied().collect(), &[])
}

fn from_flags(flags: &[&str]) -> Result<Config, ConfigError> {
    let flags: Vec<_> = flags
        .iter()
        .map(|flag| parse_override(flag).unwrap())
        .collect();
    load(None, &Env::empty(), &flags)
}

fn complaints(result: Result<Config, ConfigError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn nothing_given_is_the_defaults() {
    assert_eq!(from_file("").unwrap(), Config::default());
    assert_eq!(from_env(&[]).unwrap(), Config::default());
}

#[test]
fn each_layer_lies_over_the_one_before() {
    let file = file("name = 'file'\n[server]\nport = 1001\ndrain_delay_s = 7\noffset = -3");
    let env: Env = [
        ("VITRINE__SERVER__PORT", "1002"),
        ("VITRINE__NAME", "env"),
        ("PATH", "/bin"),
    ]
    .into_iter()
    .collect();
    let flags = [("server.port".to_owned(), "1003".to_owned())];
    let config: Config = load(Some(file.path()), &env, &flags).unwrap();
    assert_eq!(
        config.server,
        Server {
            port: 1003,
            drain_delay_s: 7,
            reflection: true,
            offset: -3
        }
    );
    assert_eq!(config.name, "env");
}

#[test]
fn a_table_given_in_part_keeps_the_rest_of_the_outer_default() {
    let config = from_file("[server]\nreflection = false").unwrap();
    assert_eq!(
        config.server,
        Server {
            port: 8080,
            reflection: false,
            ..Server::default()
        }
    );
}

#[test]
fn text_takes_the_type_of_its_key() {
    let config = from_env(&[
        ("VITRINE__SERVER__REFLECTION", "false"),
        ("VITRINE__SERVER__OFFSET", "-4"),
        ("VITRINE__RATIO", "1"),
        ("VITRINE__NAME", "42"),
        ("VITRINE__FORMAT", "json"),
        ("VITRINE__SCOPES", "a, b,c"),
        ("VITRINE__LIMITS", "{ rooms = 3 }"),
        ("VITRINE__NOTE", "true"),
        ("VITRINE__TOKEN", "0123"),
        ("VITRINE__EXTRA__PORT", "9"),
        ("VITRINE__STORE__ADDRESS", "postgres://db"),
    ])
    .unwrap();
    assert_eq!(
        config.server,
        Server {
            port: 8080,
            reflection: false,
            offset: -4,
            ..Server::default()
        }
    );
    assert_eq!(
        (config.ratio, config.name.as_str(), config.format),
        (1.0, "42", Format::Json)
    );
    assert_eq!(config.scopes, ["a", "b", "c"]);
    assert_eq!(config.limits, BTreeMap::from([("rooms".to_owned(), 3)]));
    assert_eq!(config.note.as_deref(), Some("true"));
    assert_eq!(config.token.expose(), "0123");
    assert_eq!(
        config.extra,
        Some(Server {
            port: 9,
            ..Server::default()
        })
    );
    assert_eq!(config.store, Store::Address("postgres://db".to_owned()));
}

#[test]
fn empty_text_is_none_for_what_may_be_none() {
    let file = file("note = 'from the file'");
    let env = [("VITRINE__NOTE", "")].into_iter().collect();
    let config: Config = load(Some(file.path()), &env, &[]).unwrap();
    assert_eq!(config.note, None);
}

#[test]
fn a_list_is_replaced_as_a_whole_and_reached_into_by_number() {
    let text = "scopes = ['x']\n[[issuers]]\nname = 'one'\n[[issuers]]\nname = 'two'";
    let file = file(text);
    let vars = (0..12).map(|n| (format!("VITRINE__ISSUERS__{n}__KEY"), format!("key {n}")));
    let names = (2..12).map(|n| (format!("VITRINE__ISSUERS__{n}__NAME"), format!("name {n}")));
    let config: Config = load(Some(file.path()), &vars.chain(names).collect(), &[]).unwrap();
    assert_eq!(config.scopes, ["x"]);
    assert_eq!(config.issuers.len(), 12);
    assert_eq!(
        config.issuers[1],
        Issuer {
            name: "two".to_owned(),
            key: "key 1".into()
        }
    );
    assert_eq!(
        config.issuers[11],
        Issuer {
            name: "name 11".to_owned(),
            key: "key 11".into()
        }
    );

    let config = from_flags(&["issuers=[{ name = 'only' }]", "scopes=[]"]).unwrap();
    assert_eq!((config.issuers.len(), config.scopes.len()), (1, 0));

    let said = complaints(from_flags(&["issuers.1.name=x"]));
    assert!(
        said.contains("issuers.1.name is beyond the end of the list, which has 0 entries"),
        "{said}"
    );
}

#[test]
fn an_unknown_key_names_itself_its_source_and_the_nearest_key() {
    let file = file("name = 'x'\n\n[server]\nprot = 1\n");
    let path = file.path().display().to_string();
    let env = [("VITRINE__SERVRE__PORT", "1")].into_iter().collect();
    let flags = [parse_override("drain_delay_s=3").unwrap()];
    let error = load::<Config>(Some(file.path()), &env, &flags).unwrap_err();
    let said: Vec<String> = error.problems().iter().map(Problem::to_string).collect();
    assert_eq!(
        said,
        [
            "drain_delay_s is no key; did you mean server.drain_delay_s? (flag for drain_delay_s)"
                .to_owned(),
            "servre is no key; did you mean server? (environment variable VITRINE__SERVRE__PORT)"
                .to_owned(),
            format!("server.prot is no key; did you mean server.port? (file {path}, line 4)"),
        ]
    );
}

#[test]
fn unknown_keys_are_found_wherever_a_struct_is() {
    for (text, key) in [
        (
            "[[issuers]]\nname = 'a'\nnmae = 'b'",
            "issuers.0.nmae is no key; did you mean issuers.0.name?",
        ),
        (
            "[extra]\nreflections = true",
            "extra.reflections is no key; did you mean extra.reflection?",
        ),
        (
            "[store.folder]\npath = 'a'\npaht = 'b'",
            "store.folder.paht is no key; did you mean store.folder.path?",
        ),
        (
            "completely_else = 1",
            "completely_else is no key; the nearest is ",
        ),
    ] {
        let said = complaints(from_file(text));
        assert!(said.contains(key), "{said}");
    }
}

#[test]
fn every_unknown_key_is_told_together_with_a_wrong_type() {
    let error = from_file("nmae = 1\n[server]\nport = 'x'\nprot = 2").unwrap_err();
    assert_eq!(error.problems().len(), 3, "{error}");
}

#[test]
fn a_wrong_type_names_key_type_and_source() {
    let path_of = |file: &tempfile::NamedTempFile| file.path().display().to_string();
    let file = file("\n[server]\nport = 70000");
    let said = complaints(load(Some(file.path()), &Env::empty(), &[]));
    assert_eq!(
        said,
        format!(
            "server.port must be u16, not integer `70000` (file {}, line 3)",
            path_of(&file)
        )
    );

    for (var, text, expected) in [
        (
            "VITRINE__SERVER__PORT",
            "eighty",
            "server.port must be u16, not string \"eighty\"",
        ),
        (
            "VITRINE__SERVER__PORT",
            "-1",
            "server.port must be u16, not string \"-1\"",
        ),
        (
            "VITRINE__SERVER__REFLECTION",
            "ja",
            "server.reflection must be true or false, not string \"ja\"",
        ),
        (
            "VITRINE__RATIO",
            "half",
            "ratio must be f64, not string \"half\"",
        ),
        (
            "VITRINE__FORMAT",
            "xml",
            "format must be one of text, json, not \"xml\"",
        ),
        (
            "VITRINE__SERVER",
            "8080",
            "server must be a table, not string \"8080\"",
        ),
        (
            "VITRINE__LIMITS__ROOMS",
            "many",
            "limits.rooms must be u32, not string \"many\"",
        ),
        (
            "VITRINE__ISSUERS",
            "[{ key = 'k' }]",
            "issuers.0 needs the key name",
        ),
        (
            "VITRINE__ISSUERS__0__KEY",
            "k",
            "issuers.0 needs the key name",
        ),
        (
            "VITRINE__STORE__0",
            "k",
            "store.0 must be one of folder, address, not \"0\"",
        ),
    ] {
        let said = complaints(from_env(&[(var, text)]));
        assert_eq!(said, format!("{expected} (environment variable {var})"));
    }
    for (text, expected) in [
        ("name = 5", "name must be a string, not integer `5`"),
        ("scopes = 'a'", "scopes must be a list, not string \"a\""),
        ("scopes = [1]", "scopes.0 must be a string, not integer `1`"),
        ("server = []", "server must be a table, not a list"),
        (
            "[server]\noffset = 1.5",
            "server.offset must be i64, not floating point `1.5`",
        ),
    ] {
        let said = complaints(from_file(text));
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn what_cannot_be_a_key_is_an_error() {
    for var in ["VITRINE__", "VITRINE__SERVER__", "VITRINE__SERVER____PORT"] {
        let said = complaints(from_env(&[(var, "1")]));
        assert!(said.contains("is no key") && said.contains(var), "{said}");
    }
    for flag in ["", "server.port", "=1"] {
        assert!(parse_override(flag).is_err(), "{flag}");
    }
    assert_eq!(
        parse_override("a.b=c=d").unwrap(),
        ("a.b".to_owned(), "c=d".to_owned())
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_an_error() {
    use std::os::unix::ffi::OsStringExt;
    let env: Env = [("VITRINE__NAME", OsString::from_vec(vec![0xff]))]
        .into_iter()
        .collect();
    let said = complaints(load(None, &env, &[]));
    assert!(
        said.contains("name is not valid UTF-8 (environment variable VITRINE__NAME)"),
        "{said}"
    );
}

#[test]
fn a_file_that_is_missing_or_broken_is_named() {
    let said = complaints(load(
        Some(Path::new("/no/such/vitrine.toml")),
        &Env::empty(),
        &[],
    ));
    assert!(said.contains("/no/such/vitrine.toml"), "{said}");
    let said = complaints(from_file("name = 'a'\ntoken = 'hunter2"));
    assert!(
        said.contains(", line 2, is not valid TOML: ") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn secrets_are_never_shown() {
    let config = from_file("token = 'hunter2'\n[[issuers]]\nname = 'a'\nkey = 'hunter3'").unwrap();
    let shown = [
        format!("{config:?}"),
        format!("{}", config.token),
        render(&config).unwrap(),
        serde_json::to_string(&config).unwrap(),
    ];
    for text in shown {
        assert!(!text.contains("hunter") && text.contains("***"), "{text}");
    }
    // Not even when they are of the wrong type.
    let said = complaints(from_file("token = 4711"));
    assert!(
        said.starts_with("token must be a string (") && !said.contains("4711"),
        "{said}"
    );
}

#[test]
fn what_was_printed_as_stars_is_not_taken_back() {
    let said = complaints(from_file("token = '***'"));
    assert!(
        said.contains("token is a secret that was printed as ***"),
        "{said}"
    );
}

#[test]
fn a_secret_in_the_defaults_is_a_defect() {
    let base = Config {
        token: "built in".into(),
        ..Config::default()
    };
    let error = load_onto(&base, None, &Env::empty(), &[]).unwrap_err();
    assert!(
        error.to_string().contains("token is a secret in code"),
        "{error}"
    );
}

#[test]
fn the_printed_configuration_is_read_back_as_it_was() {
    let config =
        from_file("note = 'n'\nratio = 2.5\n[limits]\nrooms = 1\n[store]\naddress = 'x'").unwrap();
    assert_eq!(from_file(&render(&config).unwrap()).unwrap(), config);
}

proptest! {
    #[test]
    fn no_text_of_the_environment_breaks_it(name in "(NAME|SERVER|SCOPES|LIMITS|STORE|FORMAT|ISSUERS|NOTE)(__[A-Z0-9_]{0,6}){0,2}", text in ".{0,24}") {
        let var = format!("VITRINE__{name}");
        // Whatever it makes of it, an error names the variable.
        if let Err(error) = from_env(&[(var.as_str(), text.as_str())]) {
            prop_assert!(error.to_string().contains(&var), "{}", error);
        }
    }
}
