//! "Did you mean": the known word nearest to a written one.
//!
//! Owns: how near is near enough, and the words of other load balancers. May touch: nothing outside
//! this room.

/// What people who know nginx, `HAProxy`, Envoy, Caddy or Traefik write first.
const ELSEWHERE: [(&str, &str); 32] = [
    ("attempts", "tries"),
    ("backend", "upstream"),
    ("backends", "servers"),
    ("balance", "strategy"),
    ("bind", "address"),
    ("cert", "certificates"),
    ("certificate", "certificates"),
    ("cluster", "upstream"),
    ("endpoints", "servers"),
    ("entrypoint", "listener"),
    ("frontend", "listener"),
    ("healthcheck", "health_check"),
    ("lb_policy", "strategy"),
    ("least_conn", "least_connections"),
    ("leastconn", "least_connections"),
    ("listen", "address"),
    ("location", "path"),
    ("pool", "upstream"),
    ("private_key", "key"),
    ("proxy_pass", "upstream"),
    ("random", "random_two"),
    ("retries", "tries"),
    ("return", "respond"),
    ("roundrobin", "round_robin"),
    ("server_name", "hosts"),
    ("targets", "servers"),
    ("url", "address"),
    ("host", "hosts"),
    ("uri", "path"),
    ("vhost", "site"),
    ("virtual_host", "site"),
    ("warning", "warn"),
];

/// The known word that was probably meant.
pub(super) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let plain = written.to_lowercase().replace(['-', ' '], "_");
    let translated = ELSEWHERE.iter().find(|(word, _)| *word == plain).map(|(_, ours)| *ours);
    if let Some(ours) = known.clone().into_iter().find(|it| Some(*it) == translated) {
        return Some(ours);
    }
    // At most a third of the letters may be wrong, or short words would match everything.
    let limit = (plain.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|word| !differs_by_number(&plain, word))
        .map(|word| (strsim::damerau_levenshtein(&plain, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `http_500` is not a mistyped `http_502`: words that differ only in digits are different things.
fn differs_by_number(written: &str, known: &str) -> bool {
    let letters = |word: &str| word.replace(|c: char| c.is_ascii_digit(), "");
    written != known && known.len() > letters(known).len() && letters(written) == letters(known)
}

/// `` did you mean `x`? ``, or the list of what there is.
pub fn did_you_mean<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
    kinds: &str,
) -> String {
    if let Some(word) = nearest(written, known.clone()) {
        return format!("did you mean `{word}`?");
    }
    let all: Vec<_> = known.into_iter().map(|word| format!("`{word}`")).collect();
    if all.is_empty() {
        return format!("there are no {kinds}");
    }
    format!("{kinds} are {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_foreign_words_and_strangers() {
        let known = ["strategy", "servers", "keepalive", "address"];
        assert_eq!(nearest("stategy", known), Some("strategy"));
        assert_eq!(nearest("Keep-Alive", known), Some("keepalive"));
        assert_eq!(nearest("listen", known), Some("address"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(did_you_mean("qq", ["ab", "bc"], "keys"), "keys are `ab`, `bc`");
    }
}
