//! Conditions that an external authorizer decides: what is asked, and when nobody is.

use proptest::prelude::*;

use super::*;
use crate::policy::decision::AuthorizedAction;
use crate::policy::template::Template;
use crate::token::Issuer;

fn template(text: &str) -> Template {
    Template::parse(text, |name| ["kind", "id"].contains(&name)).unwrap()
}

fn authorize(action: &str, kind: &str, resource: &str) -> Condition {
    let [action, resource_type, resource] = [action, kind, resource].map(template);
    Condition::Authorize(AuthorizedAction { action, resource_type, resource })
}

/// Looks at the facts about alice's request to `/order/17`, or to another path.
fn look<T>(target: &str, claims: &Value, look: impl FnOnce(&Facts<'_>) -> T) -> T {
    let issuer = Issuer { user_prefix: "b:".to_owned(), ..Issuer::default() };
    let token = Verified { issuer: Arc::new(issuer), ..verified(claims) };
    let routes = vec![route("any", &[], None, Access::Required(Requirement::default()))];
    let policy = policy(vec![("*", "/{kind}/{id}", routes)], Access::Denied);
    let told = Told {
        method: Some("PUT"),
        scheme: Some("https"),
        host: Some("app.test"),
        target: Some(target),
        client: None,
    };
    let request = canonical(&told).unwrap();
    let route = policy.find(&request).unwrap().expect("a route");
    look(&policy.facts_at(&route, &request, Facts::new(&token, None, NOW)))
}

#[test]
fn the_question_names_the_user_as_applications_know_him_and_the_parts_of_the_request() {
    let claims = json!({"roles": ["clerk", null, 7], "scope": "write read"});
    let condition = authorize("{method}", "{kind}", "nr {id}");
    let expected = DecisionRequest {
        subject: "b:alice".to_owned(),
        roles: vec!["clerk".to_owned(), "7".to_owned()],
        scopes: vec!["read".to_owned(), "write".to_owned()],
        action: "PUT".to_owned(),
        resource_type: "order".to_owned(),
        resource: "nr 17".to_owned(),
    };
    look("/order/%317", &claims, |facts| {
        assert_eq!(condition.check(facts), Err(Unmet::Undecided(Box::new(expected.clone()))));
        for (answer, outcome) in [(true, Ok(())), (false, Err(Unmet::Permission))] {
            let mut decisions = Decisions::default();
            decisions.record(
                DecisionRequest { resource: "nr 18".to_owned(), ..expected.clone() },
                !answer,
            );
            decisions.record(expected.clone(), answer);
            assert_eq!(condition.check(&facts.with_decisions(&decisions)), outcome);
        }
    });
}

#[test]
fn what_cannot_be_asked_is_denied_also_where_every_answer_is_taken_for_a_yes() {
    let yes = Decisions::assumed(Some(true));
    let condition = authorize("{method}", "order", "{id}");
    let long = format!("/order/{}", "x".repeat(1_025));
    let outcome = look(&long, &json!({}), |facts| condition.check(&facts.with_decisions(&yes)));
    assert_eq!(outcome, Err(Unmet::Permission));
    let token = verified(&json!({}));
    let nowhere = Facts::new(&token, None, NOW);
    assert_eq!(condition.check(&nowhere.with_decisions(&yes)), Err(Unmet::Permission));
}

/// A requirement of yes, no and questions, and of ways through these.
#[derive(Clone, Debug)]
enum Tree {
    Pure(bool),
    Asks(u8),
    All(Vec<Tree>),
    Any(Vec<Tree>),
}

impl Tree {
    fn requirement(&self) -> Requirement {
        match self {
            // The token grants the scope `yes`.
            Self::Pure(true) => Requirement::scopes(vec!["yes".to_owned()]),
            Self::Pure(false) => Requirement::scopes(vec!["no".to_owned()]),
            Self::Asks(n) => Requirement::all(vec![authorize("do", "thing", &n.to_string())]),
            Self::All(all) => {
                let each = |it: &Self| Condition::AnyOf(vec![it.requirement()]);
                Requirement::all(all.iter().map(each).collect())
            }
            Self::Any(ways) => {
                let ways = ways.iter().map(Self::requirement).collect();
                Requirement::all(vec![Condition::AnyOf(ways)])
            }
        }
    }

    /// Its truth, where the authorizer says this about each question.
    fn truth(&self, answers: &impl Fn(u8) -> bool) -> bool {
        match self {
            Self::Pure(truth) => *truth,
            Self::Asks(n) => answers(*n),
            Self::All(all) => all.iter().all(|it| it.truth(answers)),
            Self::Any(ways) => ways.iter().any(|it| it.truth(answers)),
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![any::<bool>().prop_map(Tree::Pure), (0..6u8).prop_map(Tree::Asks)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::All),
            prop::collection::vec(inner, 0..4).prop_map(Tree::Any),
        ]
    })
}

/// Checks, asks and checks again, as the gate does; the outcome, and what was asked.
fn decide(requirements: &[&Requirement], answers: impl Fn(u8) -> bool) -> (bool, Vec<u8>) {
    let (mut asked, mut decisions) = (Vec::new(), Decisions::default());
    let claims = json!({"scope": "yes"});
    loop {
        let outcome = look("/order/17", &claims, |facts| {
            check_all(requirements, &facts.with_decisions(&decisions))
        });
        let Err(Unmet::Undecided(question)) = outcome else { return (outcome.is_ok(), asked) };
        let number = question.resource.parse().unwrap();
        asked.push(number);
        decisions.record(*question, answers(number));
    }
}

proptest! {
    #[test]
    fn a_yes_is_what_the_answers_make_true_and_never_more(
        trees in prop::collection::vec(trees(), 1..3),
        answers in prop::array::uniform6(any::<bool>()),
    ) {
        let answer = |n: u8| answers[usize::from(n)];
        let requirements: Vec<_> = trees.iter().map(Tree::requirement).collect();
        let requirements: Vec<_> = requirements.iter().collect();
        let (is_met, asked) = decide(&requirements, answer);
        prop_assert_eq!(is_met, trees.iter().all(|tree| tree.truth(&answer)));
        // No question twice, and none where the rest decides.
        let mut once = asked.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), asked.len());
        let either = [true, false].map(|all| trees.iter().all(|tree| tree.truth(&|_| all)));
        if !either[0] {
            prop_assert_eq!(&asked, &Vec::<u8>::new(), "no answer could have made it a yes");
        }
        // Without an explicit yes to something that was asked, only what needs none passes.
        if is_met && !asked.iter().any(|n| answer(*n)) {
            prop_assert!(either[1]);
        }
    }
}

#[test]
fn an_alternative_that_holds_needs_no_question_and_what_fails_is_not_asked_about() {
    let asks = || Tree::Asks(1);
    for (tree, answer, expected) in [
        (Tree::Any(vec![asks(), Tree::Pure(true)]), false, (true, vec![])),
        (Tree::Any(vec![Tree::Pure(false), asks()]), true, (true, vec![1])),
        (Tree::Any(vec![Tree::Pure(false), asks()]), false, (false, vec![1])),
        (Tree::All(vec![asks(), Tree::Pure(false)]), true, (false, vec![])),
        (Tree::All(vec![asks(), Tree::Asks(2)]), true, (true, vec![1, 2])),
        (Tree::All(vec![asks(), Tree::Asks(2)]), false, (false, vec![1])),
        (Tree::Any(vec![asks(), Tree::Asks(2)]), true, (true, vec![1])),
        (Tree::All(vec![asks(), asks()]), true, (true, vec![1])),
    ] {
        let requirement = tree.requirement();
        assert_eq!(decide(&[&requirement], |_| answer), expected, "{tree:?} {answer}");
        // What the gateway's address demands comes before any question.
        let demanded = Requirement::scopes(vec!["other".to_owned()]);
        assert_eq!(decide(&[&requirement, &demanded], |_| true), (false, vec![]), "{tree:?}");
    }
}
