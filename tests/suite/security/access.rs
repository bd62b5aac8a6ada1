//! What a good token of one kind gets from every method, said by the method's own policy.

use contracts::common::v1::Audience;
use contracts::policy::Policies;

/// A method that both partners and the retailer may call is rare enough to be listed by its service; one that anybody
/// at all may call does not exist.
#[test]
fn every_method_names_who_may_call_it_and_with_what() {
    let policies = Policies::load().expect("whole contracts");
    for method in policies.methods() {
        assert!(!method.access.is_empty(), "{} is for nobody", method.path);
        for access in &method.access {
            assert_ne!(access.audience, Audience::Unspecified, "{}", method.path);
            assert!(!access.scopes.is_empty(), "{} needs no scope", method.path);
            let needs_role = access.audience == Audience::Retailer;
            assert_eq!(needs_role, !access.roles.is_empty(), "{}", method.path);
        }
    }
}
