use rstest::rstest;

use super::*;

const PATH: &str = "/test.v1.ThingService/DoThing";

const REQUEST: &str = r#"
message DoThingRequest {
  string request_id = 1 [(vitrine.common.v1.field) = { resource: "request" ownership: OWNERSHIP_CALLER }];
  Inner inner = 2;
  repeated string tags = 3;
  map<string, string> labels = 4;
}
message Inner { int64 count = 1; }
message DoThingResponse {}
"#;

/// A service of one method with this policy, or with none.
fn service(signature: &str, policy: Option<&str>) -> String {
    let option = policy.map_or(String::new(), |policy| {
        format!("option (vitrine.common.v1.policy) = {{ {policy} }};")
    });
    format!("service ThingService {{ rpc DoThing{signature} {{ {option} }} }}\n{REQUEST}")
}

const UNARY: &str = "(DoThingRequest) returns (DoThingResponse)";
const STREAM: &str = "(DoThingRequest) returns (stream DoThingResponse)";
const CLIENT_STREAM: &str = "(stream DoThingRequest) returns (DoThingResponse)";

const ACCESS: &str = r#"access: { audience: AUDIENCE_PARTNER scopes: "thing.write" }"#;
const REST: &str = r#"effect: EFFECT_MUTATION idempotency_key: "request_id" default_deadline_ms: 5000
    criticality: CRITICALITY_NORMAL"#;

fn problems_of(signature: &str, policy: &str) -> Vec<MethodProblem> {
    let errors = match load(&service(signature, Some(policy))) {
        Ok(_) => return Vec::new(),
        Err(errors) => errors,
    };
    let problem = |error| match error {
        PolicyError::IncompletePolicy { method, problem } => {
            assert_eq!(method, PATH);
            problem
        }
        other => panic!("{other}"),
    };
    errors.into_iter().map(problem).collect()
}

#[test]
fn a_complete_policy_is_read() {
    let access = r#"access: { audience: AUDIENCE_PARTNER scopes: "thing.write" scopes: "thing.read" }
        access: { audience: AUDIENCE_RETAILER scopes: "thing.write" roles: RETAILER_ROLE_OPS roles: RETAILER_ROLE_CARE }"#;
    let key = r#"effect: EFFECT_MUTATION idempotency_key: "request_id, inner.count" default_deadline_ms: 2500
        criticality: CRITICALITY_CRITICAL"#;
    let policies = load(&service(UNARY, Some(&format!("{access} {key}")))).unwrap();

    let expected = MethodPolicy {
        path: PATH.into(),
        service: "test.v1.ThingService".into(),
        name: "DoThing".into(),
        request: "test.v1.DoThingRequest".into(),
        response: "test.v1.DoThingResponse".into(),
        access: vec![
            Access {
                audience: Audience::Partner,
                scopes: vec!["thing.write".into(), "thing.read".into()],
                roles: vec![],
            },
            Access {
                audience: Audience::Retailer,
                scopes: vec!["thing.write".into()],
                roles: vec![RetailerRole::Ops, RetailerRole::Care],
            },
        ],
        effect: Effect::Mutation,
        idempotency_key: vec!["request_id".into(), "inner.count".into()],
        default_deadline: Some(Duration::from_millis(2500)),
        criticality: Criticality::Critical,
        client_streaming: false,
        server_streaming: false,
    };
    assert_eq!(policies.method(PATH).map(AsRef::as_ref), Some(&expected));
    assert_eq!(policies.methods().len(), 1);
    assert!(policies.method("/test.v1.ThingService/Other").is_none());
    assert!(policies.method("test.v1.ThingService/DoThing").is_none());

    let field = policies.field("test.v1.DoThingRequest.request_id").unwrap();
    assert_eq!(field.resource.as_deref(), Some("request"));
    assert_eq!(field.ownership, Ownership::Caller);
    assert_eq!(field.personal_data, PersonalData::Unspecified);
    assert!(policies.field("test.v1.DoThingRequest.tags").is_none());
}

#[test]
fn a_method_without_a_policy_is_refused() {
    let missing = PolicyError::MissingPolicy {
        method: PATH.into(),
    };
    assert_eq!(load(&service(UNARY, None)).unwrap_err(), [missing]);
}

#[test]
fn a_policy_that_says_nothing_is_refused_for_everything_it_lacks() {
    assert_eq!(
        problems_of(UNARY, ""),
        [
            MethodProblem::NoAccess,
            MethodProblem::NoEffect,
            MethodProblem::NoCriticality,
            MethodProblem::NoDeadline,
        ]
    );
}

#[rstest]
#[case::none("", &[MethodProblem::NoAccess])]
#[case::empty("access: {}", &[MethodProblem::NoAudience])]
#[case::no_audience(r#"access: { scopes: "a" }"#, &[MethodProblem::NoAudience])]
#[case::no_scope(
    "access: { audience: AUDIENCE_VIEWER }",
    &[MethodProblem::NoScope(Audience::Viewer)],
)]
#[case::blank_scope(
    r#"access: { audience: AUDIENCE_SERVICE scopes: "" }"#,
    &[MethodProblem::NoScope(Audience::Service)],
)]
#[case::no_role(
    r#"access: { audience: AUDIENCE_RETAILER scopes: "a" }"#,
    &[MethodProblem::NoRole],
)]
#[case::unspecified_role(
    r#"access: { audience: AUDIENCE_RETAILER scopes: "a" roles: RETAILER_ROLE_OPS roles: RETAILER_ROLE_UNSPECIFIED }"#,
    &[MethodProblem::NoRole],
)]
#[case::role_of_a_partner(
    r#"access: { audience: AUDIENCE_PARTNER scopes: "a" roles: RETAILER_ROLE_OPS }"#,
    &[MethodProblem::RolesWithoutRetailer(Audience::Partner)],
)]
#[case::one_bad_beside_a_good_one(
    r#"access: { audience: AUDIENCE_PARTNER scopes: "a" } access: { audience: AUDIENCE_PARTNER }"#,
    &[MethodProblem::NoScope(Audience::Partner)],
)]
fn access_must_be_complete(#[case] access: &str, #[case] problems: &[MethodProblem]) {
    assert_eq!(problems_of(UNARY, &format!("{access} {REST}")), problems);
}

#[rstest]
#[case::no_effect(r#"idempotency_key: "request_id""#, &[MethodProblem::NoEffect])]
#[case::mutation_without_key("effect: EFFECT_MUTATION", &[MethodProblem::NoKey])]
#[case::key_on_a_read(
    r#"effect: EFFECT_READ idempotency_key: "request_id""#,
    &[MethodProblem::KeyOnRead],
)]
#[case::good_mutation(r#"effect: EFFECT_MUTATION idempotency_key: "request_id""#, &[])]
#[case::good_read("effect: EFFECT_READ", &[])]
fn the_effect_and_its_key_must_fit(#[case] effect: &str, #[case] problems: &[MethodProblem]) {
    let rest = "default_deadline_ms: 5000 criticality: CRITICALITY_NORMAL";
    assert_eq!(
        problems_of(UNARY, &format!("{ACCESS} {effect} {rest}")),
        problems
    );
}

#[rstest]
#[case::absent("nothing", &["nothing"])]
#[case::one_of_two_absent("request_id,nothing", &["nothing"])]
#[case::both_absent("no,nothing", &["no", "nothing"])]
#[case::a_message("inner", &["inner"])]
#[case::a_list("tags", &["tags"])]
#[case::a_map("labels", &["labels"])]
#[case::absent_inside("inner.nothing", &["inner.nothing"])]
#[case::inside_a_plain_one("request_id.nothing", &["request_id.nothing"])]
#[case::a_trailing_comma("request_id,", &[""])]
#[case::nested("inner.count", &[])]
#[case::both("request_id, inner.count", &[])]
fn a_key_names_plain_fields_of_the_request(#[case] key: &str, #[case] bad: &[&str]) {
    let rest = "effect: EFFECT_MUTATION default_deadline_ms: 5000 criticality: CRITICALITY_NORMAL";
    let policy = format!("{ACCESS} {rest} idempotency_key: \"{key}\"");
    let expected: Vec<_> = bad
        .iter()
        .map(|&name| MethodProblem::KeyField(name.into()))
        .collect();
    assert_eq!(problems_of(UNARY, &policy), expected);
}

#[rstest]
#[case::unary(UNARY, &[MethodProblem::NoDeadline])]
#[case::server_stream(STREAM, &[])]
#[case::client_stream(CLIENT_STREAM, &[])]
fn a_unary_method_has_a_deadline(#[case] signature: &str, #[case] problems: &[MethodProblem]) {
    let rest = "effect: EFFECT_READ criticality: CRITICALITY_NORMAL";
    assert_eq!(
        problems_of(signature, &format!("{ACCESS} {rest}")),
        problems
    );
}

#[test]
fn criticality_is_named() {
    let rest = "effect: EFFECT_READ default_deadline_ms: 1";
    assert_eq!(
        problems_of(UNARY, &format!("{ACCESS} {rest}")),
        [MethodProblem::NoCriticality]
    );
}

#[test]
fn values_of_a_later_contract_count_as_none() {
    let policy =
        r#"access: { audience: 99 scopes: "a" } effect: 99 criticality: 99 default_deadline_ms: 1"#;
    // Text format knows no numbers beyond the enum, so the bytes are made by hand: a stand-in, then replaced.
    let known = policy
        .replace("audience: 99", "audience: AUDIENCE_SERVICE")
        .replace("effect: 99", "effect: EFFECT_READ")
        .replace("criticality: 99", "criticality: CRITICALITY_SHEDDABLE");
    let set = compile(&service(UNARY, Some(&known)));
    // audience=4, scopes="a"; effect=1; deadline=1; criticality=4.
    let before = [
        0x0A, 0x05, 0x08, 0x04, 0x12, 0x01, b'a', 0x10, 0x01, 0x20, 0x01, 0x28, 0x04,
    ];
    let mut after = before;
    (after[3], after[8], after[12]) = (99, 99, 99);
    let at = set
        .windows(before.len())
        .position(|window| window == before)
        .unwrap();
    let mut changed = set;
    changed[at..at + before.len()].copy_from_slice(&after);

    let problem = |problem| PolicyError::IncompletePolicy {
        method: PATH.into(),
        problem,
    };
    assert_eq!(
        Policies::load_from(&changed).unwrap_err(),
        [
            problem(MethodProblem::NoAudience),
            problem(MethodProblem::NoEffect),
            problem(MethodProblem::NoCriticality),
        ]
    );
}

fn field_error(declaration: &str) -> Option<PolicyError> {
    match load(&format!("message Thing {{ {declaration} }}")) {
        Ok(_) => None,
        Err(errors) => {
            assert_eq!(errors.len(), 1, "{errors:?}");
            errors.into_iter().next()
        }
    }
}

#[rstest]
#[case("string thing_id = 1;", true)]
#[case("repeated string thing_ids = 1;", true)]
#[case("optional string thing_id = 1;", true)]
#[case("oneof which { string thing_id = 1; }", true)]
#[case("bytes thing_id = 1;", true)]
#[case("map<string, string> thing_ids = 1;", true)]
#[case("string id = 1;", true)]
#[case("string thing_ref = 1;", true)]
#[case("string thing_reference = 1;", true)]
#[case("string shopper_key = 1;", true)]
#[case("string email_address = 1;", true)]
#[case("string phone = 1;", true)]
#[case("string recipient = 1;", true)]
#[case("repeated string street_lines = 1;", true)]
#[case("int64 thing_id = 1;", false)]
#[case("bool address_missing = 1;", false)]
#[case("string grid = 1;", false)]
#[case("string title = 1;", false)]
#[case("string display_name = 1;", false)]
#[case("string note = 1;", false)]
fn fields_that_identify_or_name_a_person_need_a_policy(
    #[case] declaration: &str,
    #[case] needed: bool,
) {
    match field_error(declaration) {
        Some(PolicyError::MissingFieldPolicy { field, .. }) => {
            assert!(needed, "{field}");
            assert!(field.starts_with("test.v1.Thing."));
        }
        Some(other) => panic!("{other}"),
        None => assert!(!needed),
    }
}

#[rstest]
#[case::in_a_nested_message("message Deep { string thing_id = 1; }", "test.v1.Thing.Deep.thing_id")]
#[case::note_beside_a_phone(
    "string phone = 1 [(vitrine.common.v1.field) = { personal_data: PERSONAL_DATA_DIRECT }]; string note = 2;",
    "test.v1.Thing.note"
)]
#[case::name_beside_a_phone(
    "string phone = 1 [(vitrine.common.v1.field) = { personal_data: PERSONAL_DATA_DIRECT }]; string given_name = 2;",
    "test.v1.Thing.given_name"
)]
fn finds_them_where_they_hide(#[case] declaration: &str, #[case] expected: &str) {
    match field_error(declaration) {
        Some(PolicyError::MissingFieldPolicy { field, .. }) => assert_eq!(field, expected),
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case::nothing("string title", "", true)]
#[case::resource_only("string thing_id", r#"resource: "thing""#, true)]
#[case::ownership_only("string thing_id", "ownership: OWNERSHIP_TENANT", true)]
#[case::ownership_unspecified(
    "string thing_id",
    r#"resource: "thing" ownership: OWNERSHIP_UNSPECIFIED"#,
    true
)]
#[case::identifies_and_says_only_personal(
    "string thing_id",
    "personal_data: PERSONAL_DATA_PSEUDONYM",
    true
)]
#[case::person_without_personal_data(
    "string shopper_ref",
    r#"resource: "shopper" ownership: OWNERSHIP_CALLER"#,
    true
)]
#[case::good_id(
    "string thing_id",
    r#"resource: "thing" ownership: OWNERSHIP_TENANT"#,
    false
)]
#[case::good_person(
    "string shopper_ref",
    r#"resource: "shopper" ownership: OWNERSHIP_CALLER personal_data: PERSONAL_DATA_PSEUDONYM"#,
    false
)]
#[case::good_personal("string phone", "personal_data: PERSONAL_DATA_DIRECT", false)]
fn field_policies_are_complete(#[case] field: &str, #[case] policy: &str, #[case] refused: bool) {
    let error = field_error(&format!(
        "{field} = 1 [(vitrine.common.v1.field) = {{ {policy} }}];"
    ));
    match error {
        Some(PolicyError::IncompleteFieldPolicy { .. }) => assert!(refused),
        Some(other) => panic!("{other}"),
        None => assert!(!refused),
    }
}

#[test]
fn every_hole_is_reported_at_once() {
    let declarations = format!(
        "{}\nmessage Other {{ string other_id = 1; }}",
        service(UNARY, None)
    );
    let text: Vec<_> = load(&declarations)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        text,
        [
            "/test.v1.ThingService/DoThing has no policy; add `option (vitrine.common.v1.policy)` to it",
            "test.v1.Other.other_id has no policy although its name says that it identifies something; \
             add `(vitrine.common.v1.field)` to it",
        ]
    );
}

#[test]
fn what_is_no_descriptor_set_is_refused() {
    let errors = Policies::load_from(b"not a descriptor set").unwrap_err();
    assert!(matches!(errors[..], [PolicyError::Unreadable(_)]));
}
