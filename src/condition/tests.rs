//! The language against a second way to say what it means, and its errors.

use super::{
    parse::ConditionError,
    terms::{AMOUNTS, Amount, Condition, ORDERS, Observed, RELATIONS, TEXTS, Term, TextFact},
};
use proptest::prelude::*;
use std::{borrow::Cow, collections::HashMap};

/// What is known of a request.
#[derive(Clone, Debug, Default)]
struct Known {
    amounts: HashMap<&'static str, u64>,
    texts: HashMap<String, String>,
}

fn text_name(of: &TextFact) -> String {
    match of {
        TextFact::Header(name) => format!("header.{name}"),
        TextFact::Cookie(name) => format!("cookie.{name}"),
        TextFact::ResponseHeader(name) => format!("response.header.{name}"),
        of => TEXTS.iter().find(|(_, it)| it == of).unwrap().0.to_owned(),
    }
}

fn amount_name(of: Amount) -> &'static str {
    AMOUNTS.iter().find(|(_, it)| *it == of).unwrap().0
}

impl Observed for Known {
    fn amount(&self, of: Amount) -> u64 {
        self.amounts.get(amount_name(of)).copied().unwrap_or_default()
    }

    fn text(&self, of: &TextFact) -> Cow<'_, [u8]> {
        self.texts.get(&text_name(of)).map_or(&b""[..], |it| it.as_bytes()).into()
    }
}

/// Few values, so that they are often equal.
fn short_text() -> impl Strategy<Value = String> {
    prop_oneof!["[AB/']{0,3}", Just("\\'\"".to_owned()), "[A-Z é]{0,2}"]
}

fn text_fact() -> impl Strategy<Value = TextFact> {
    prop_oneof![
        prop::sample::select(TEXTS.to_vec()).prop_map(|it| it.1),
        "[a-z][a-z-]{0,3}".prop_map(|it| TextFact::Header(it.parse().unwrap())),
        "[a-zA-Z_.]{1,3}".prop_map(TextFact::Cookie),
        "[a-z][a-z-]{0,3}".prop_map(|it| TextFact::ResponseHeader(it.parse().unwrap())),
    ]
}

fn comparison() -> impl Strategy<Value = Term> {
    let amount = prop::sample::select(AMOUNTS.to_vec()).prop_flat_map(|(_, of)| {
        let values = match of {
            Amount::Duration => (0..4u64).prop_map(|it| it * 1_000_000).boxed(),
            Amount::Status => (499..502u64).boxed(),
            _ => (0..3u64).boxed(),
        };
        let order = prop::sample::select(ORDERS.to_vec());
        (order, values).prop_map(move |((_, order), than)| Term::Amount(of, order, than))
    });
    let relation = prop::sample::select(RELATIONS.to_vec());
    let text = (text_fact(), relation, short_text()).prop_map(|(of, (_, relation), with)| {
        let with = if of == TextFact::Host { with.to_ascii_lowercase() } else { with };
        Term::Text(of, relation, with)
    });
    prop_oneof![amount, text]
}

fn term() -> impl Strategy<Value = Term> {
    comparison().prop_recursive(4, 24, 3, |below| {
        prop_oneof![
            prop::collection::vec(below.clone(), 2..4).prop_map(Term::Any),
            prop::collection::vec(below.clone(), 2..4).prop_map(Term::All),
            below.prop_map(|it| Term::Not(Box::new(it))),
        ]
    })
}

fn known() -> impl Strategy<Value = Known> {
    let amounts = (499..502u64, 0..4u64, 0..3u64, 0..3u64, 0..3u64);
    let texts = prop::collection::vec((text_fact(), short_text()), 0..9);
    (amounts, texts).prop_map(|((status, millis, sent, received, attempts), texts)| Known {
        amounts: HashMap::from([
            ("status", status),
            ("duration", millis * 1_000_000),
            ("bytes_sent", sent),
            ("bytes_received", received),
            ("attempts", attempts),
        ]),
        texts: texts.into_iter().map(|(of, text)| (text_name(&of), text)).collect(),
    })
}

/// What the canonical text of a term means, by replacing comparisons with their truth, and then
/// what is in parentheses.
fn naive(term: &Term, known: &Known) -> bool {
    let fact = |name: &str| known.texts.get(name).cloned().unwrap_or_default();
    match term {
        Term::Any(terms) => terms.iter().fold(false, |any, it| any | naive(it, known)),
        Term::All(terms) => terms.iter().fold(true, |all, it| all & naive(it, known)),
        Term::Not(term) => naive(term, known) ^ true,
        Term::Amount(of, order, than) => {
            let is = known.amounts[amount_name(*of)].cmp(than);
            let sign = ORDERS.iter().find(|it| it.1 == *order).unwrap().0;
            match sign {
                "==" => is.is_eq(),
                "!=" => is.is_ne(),
                "<" => is.is_lt(),
                "<=" => is.is_le(),
                ">" => is.is_gt(),
                _ => is.is_ge(),
            }
        }
        Term::Text(of, relation, with) => {
            let text = fact(&text_name(of));
            match RELATIONS.iter().find(|it| it.1 == *relation).unwrap().0 {
                "==" => text == *with,
                "!=" => text != *with,
                "^=" => text.starts_with(with.as_str()),
                "$=" => text.ends_with(with.as_str()),
                _ => text.contains(with.as_str()),
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same(term in term()) {
        let condition = Condition(term);
        prop_assert_eq!(Condition::parse(&condition.to_string()), Ok(condition));
    }

    #[test]
    fn it_holds_where_the_model_says_so(term in term(), known in known()) {
        let wanted = naive(&term, &known);
        prop_assert_eq!(Condition(term).holds(&known), wanted);
    }

    #[test]
    fn any_text_is_read_or_refused_at_a_place(
        text in prop_oneof!["[a-z!=<>&|()'\" 0-9]{0,30}", ".{0,20}"]
    ) {
        match Condition::parse(&text) {
            Ok(condition) => {
                prop_assert_eq!(Condition::parse(&condition.to_string()), Ok(condition));
            }
            Err(error) => {
                prop_assert!(text.is_char_boundary(error.offset));
                prop_assert!(error.offset + error.length <= text.len());
                prop_assert!(text.is_char_boundary(error.offset + error.length));
                prop_assert!(!error.hint.is_empty());
            }
        }
    }
}

#[test]
fn and_binds_more_than_or() {
    let parsed = |text| Condition::parse(text).expect(text);
    assert_eq!(
        parsed("status==500||status==501&&duration>1s"),
        parsed("status == 500 || (status == 501 && duration > 1s)"),
    );
    assert_ne!(
        parsed("status == 500 || status == 501 && duration > 1s"),
        parsed("(status == 500 || status == 501) && duration > 1s"),
    );
    assert_eq!(parsed("bytes_sent >= 1MiB"), parsed("bytes_sent >= 1048576"));
    assert_eq!(parsed("duration > '1m30s'"), parsed("duration > 90s"));
    assert_eq!(parsed("path ^= /api/"), parsed("path ^= \"/api/\""));
    assert_eq!(parsed("host == A.Example"), parsed("host == a.example"));
}

#[test]
fn errors_name_the_place_and_a_remedy() {
    for (text, wrong, message, hint) in [
        ("", "", "a comparison is missing", "status >= 500"),
        ("statsu >= 500", "statsu", "unknown name `statsu`", "did you mean `status`?"),
        ("client == 1.2.3.4", "client", "unknown name", "did you mean `client_ip`?"),
        ("500 <= status", "500", "unknown name", "the name stands on the left"),
        ("status = 500", "=", "a single `=`", "write `==`"),
        ("path =~ '^/a'", "=", "there are no regular expressions", "`^=`"),
        ("status ^= 5", "^", "`^=` compares texts", "`>=`"),
        ("path > 5", ">", "`>` compares numbers", "`*=`"),
        ("status >= 5xx", "5xx", "`5xx` is not a status", "status >= 500 && status < 600"),
        ("status >= 50", "50", "`50` is not a status", "three digits"),
        ("duration > 1", "1", "`1` is not a duration", "a duration needs a unit"),
        ("bytes_sent > 1mib", "1mib", "`1mib` is not a size", "did you mean `\"1MiB\"`?"),
        ("status >= 500 or duration > 1s", "or", "`or` is not known here", "write `||`"),
        ("status >= 500 | duration > 1s", "|", "a single `|`", "write `||`"),
        ("status >= 500 duration > 1s", "duration", "the condition goes on", "`&&` or `||`"),
        ("status >= 500 &&", "", "a comparison is missing", "status >= 500"),
        ("status >= 500)", ")", "nothing was opened here", "remove the `)`"),
        ("(status >= 500", "", "the condition ends too early", "add `)`"),
        ("!status == 500", "status", "`!` needs parentheses", "`!=`"),
        ("method == get", "get", "methods are case-sensitive", "write `GET`"),
        ("path == 'a", "'a", "this text has no end", "add `'`"),
        ("path ==", "", "a value is missing", "write"),
        ("header.é == x", "header.é", "not a header name", "header.NAME"),
    ] {
        let ConditionError { offset, length, message: told, hint: remedy } =
            Condition::parse(text).expect_err(text);
        assert_eq!(&text[offset..offset + length], wrong, "{text}: {told}");
        assert!(told.contains(message), "{text}: {told}");
        assert!(remedy.contains(hint), "{text}: {remedy}");
    }
    let deep = "(".repeat(100_000);
    assert_eq!(Condition::parse(&deep).expect_err("deep").message, "too many parentheses");
}
