//! Lines of the config are shown where something is wrong with them: without the secrets in them.
//!
//! Owns: which values are secret. May touch: nothing outside this room. Called by [`super::error`].

/// Keys whose value is a secret.
const SECRET: [&str; 1] = ["token"];

/// The line with a `*` for each character of a secret, so that places stay where they are. What comes
/// from the environment is not in the line.
pub(super) fn concealed(line: &str) -> String {
    let mut shown = line.to_owned();
    for key in SECRET {
        let mut from = 0;
        while let Some(at) = shown[from..].find(key).map(|it| it + from) {
            from = at + key.len();
            if shown[..at].ends_with(is_of_a_word) {
                continue;
            }
            let Some(rest) =
                shown[from..].trim_start_matches(['"', '\'', ' ', '\t']).strip_prefix('=')
            else {
                continue;
            };
            let rest = rest.trim_start();
            let Some(quote) = rest.chars().next().filter(|it| matches!(it, '"' | '\'')) else {
                continue;
            };
            let start = shown.len() - rest.len() + 1;
            let end = shown[start..].find(quote).map_or(shown.len(), |it| start + it);
            if !shown[start..end].contains("${") {
                let concealed = "*".repeat(shown[start..end].chars().count());
                shown.replace_range(start..end, &concealed);
                from = start + concealed.len();
            }
        }
    }
    shown
}

fn is_of_a_word(it: char) -> bool {
    it.is_alphanumeric() || matches!(it, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_secrets_are_concealed() {
        for (line, shown) in [
            ("token = \"abc\"", "token = \"***\""),
            (
                "{ name = \"ci\", token=\"äbc\", role = \"x\" }",
                "{ name = \"ci\", token=\"***\", role = \"x\" }",
            ),
            ("\"token\" = 'abc", "\"token\" = '***"),
            ("token = \"${TOKEN}\"", "token = \"${TOKEN}\""),
            ("token_file = \"a\" # a token", "token_file = \"a\" # a token"),
            ("access_token = \"a\"", "access_token = \"a\""),
        ] {
            assert_eq!(concealed(line), shown);
        }
    }

    proptest! {
        #[test]
        fn places_stay(line in "\\PC{0,20}token\\PC{0,3}=\\PC{0,30}") {
            prop_assert_eq!(concealed(&line).chars().count(), line.chars().count());
        }

        #[test]
        fn no_token_is_shown(token in "[a-z0-9]{16,40}", more in "[a-z =,\"{}]{0,20}") {
            let line = format!("{{ token = \"{token}\", {more} }}");
            prop_assert!(!concealed(&line).contains(&token));
        }
    }
}
