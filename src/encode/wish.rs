//! What a request says of content codings: `Accept-Encoding` (RFC 9110 §12.5.3), and what else
//! decides.
//!
//! Owns: reading weights, and the choice among codings. May touch: [`crate::http1`],
//! [`crate::settings`]. Pure functions. A weight that cannot be read counts as 0: a client must not
//! get what it did not ask for.

use crate::{
    http1::request::{Head, tokens},
    settings::Coding,
};
use http::{Method, header};

/// A weight of 1, in thousandths.
const FULL: u16 = 1000;

/// What a request says of content codings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodingWish {
    gzip: Option<u16>,
    brotli: Option<u16>,
    zstd: Option<u16>,
    identity: Option<u16>,
    /// `*`: every coding that is not named.
    others: Option<u16>,
    /// HEAD: the fields of a GET, and no body.
    pub head_only: bool,
    /// `Cache-Control: no-transform` (RFC 9111 §5.2.1.6).
    pub no_transform: bool,
    /// The client has a response whose validator is weak, as those are that we have compressed.
    pub holds_weak: bool,
}

impl CodingWish {
    /// By a request as the client sent it.
    pub fn by(head: &Head) -> Self {
        let fields = &head.fields;
        let mut wish = Self { head_only: head.method == Method::HEAD, ..Self::default() };
        for value in fields.values(&header::ACCEPT_ENCODING) {
            wish.read(value);
        }
        wish.no_transform = fields.tokens(&header::CACHE_CONTROL).any(is_no_transform);
        wish.holds_weak = fields.tokens(&header::IF_NONE_MATCH).any(|tag| tag.starts_with(b"W/"));
        wish
    }

    /// One value of `Accept-Encoding`.
    pub fn read(&mut self, value: &[u8]) {
        for member in tokens(value) {
            let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let weight = parts.next().map_or(FULL, |parameter| weight(parameter).unwrap_or(0));
            let weight = if parts.next().is_some() { 0 } else { weight };
            let place = match Coding::named(name) {
                Some(coding) => self.place(coding),
                None if name == b"*" => &mut self.others,
                None if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
                None => continue,
            };
            // Of two that differ, the one that promises less.
            *place = Some(place.map_or(weight, |before| before.min(weight)));
        }
    }

    fn place(&mut self, coding: Coding) -> &mut Option<u16> {
        match coding {
            Coding::Gzip => &mut self.gzip,
            Coding::Brotli => &mut self.brotli,
            Coding::Zstd => &mut self.zstd,
        }
    }

    /// In thousandths; 0 is not at all.
    fn weight(&self, coding: Coding) -> u16 {
        let named = match coding {
            Coding::Gzip => self.gzip,
            Coding::Brotli => self.brotli,
            Coding::Zstd => self.zstd,
        };
        named.or(self.others).unwrap_or(0)
    }

    /// Whether the client takes a coding. If it says nothing of codings, it may not know any.
    pub fn takes(&self, coding: Coding) -> bool {
        self.weight(coding) > 0
    }

    /// The coding that the client likes best, the first of `ours` if it likes several equally; `None`
    /// if it would rather have none.
    pub fn choice(&self, ours: &[Coding]) -> Option<Coding> {
        let mut best = None;
        let mut least = 0;
        for coding in ours {
            let weight = self.weight(*coding);
            if weight > least {
                (best, least) = (Some(*coding), weight);
            }
        }
        // Without a word of it, `identity` is the last choice.
        best.filter(|_| self.identity.is_none_or(|identity| identity <= least))
    }
}

/// `no-transform` among the directives of `Cache-Control`.
pub(super) fn is_no_transform(directive: &[u8]) -> bool {
    directive.eq_ignore_ascii_case(b"no-transform")
}

/// `q=0.5` in thousandths (RFC 9110 §12.4.2).
fn weight(parameter: &[u8]) -> Option<u16> {
    let (name, value) = parameter.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let (whole, fraction) = value.split_first()?;
    let digits = match fraction {
        [] => &[][..],
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let thousandths = [100, 10, 1].iter().zip(digits).try_fold(0, |sum, (worth, digit)| {
        digit.is_ascii_digit().then(|| sum + worth * u16::from(digit - b'0'))
    })?;
    match (whole, thousandths) {
        (b'0', _) => Some(thousandths),
        (b'1', 0) => Some(FULL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wish(value: &str) -> CodingWish {
        let mut wish = CodingWish::default();
        wish.read(value.as_bytes());
        wish
    }

    #[test]
    fn the_best_liked_coding_is_chosen() {
        let table = [
            ("", None),
            ("gzip", Some("gzip")),
            ("GZip", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip, br", Some("br")),
            ("gzip;q=1.0, br;q=0.9", Some("gzip")),
            ("gzip ; q=0.5 , br ; Q=0.6", Some("br")),
            ("gzip;q=0.001", Some("gzip")),
            ("gzip;q=0", None),
            ("gzip;q=0.", None),
            ("gzip;q=0.000, br;q=0.0", None),
            ("*", Some("zstd")),
            ("*;q=0", None),
            ("*;q=0, gzip", Some("gzip")),
            ("zstd;q=0, *", Some("br")),
            ("zstd;q=0, br;q=0, *;q=0.1", Some("gzip")),
            ("gzip;q=0.5, *;q=0.9", Some("zstd")),
            ("identity", None),
            ("identity, gzip", Some("gzip")),
            ("identity;q=1, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some("gzip")),
            ("identity;q=0, gzip;q=0.1", Some("gzip")),
            ("identity;q=0", None),
            ("deflate, compress", None),
            ("gzip;q=2", None),
            ("gzip;q=1.001", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=-1", None),
            ("gzip;q=", None),
            ("gzip;level=1", None),
            ("gzip;q=1;x=1", None),
            ("gzip, gzip;q=0", None),
            (",, gzip ,", Some("gzip")),
            ("gzipped", None),
        ];
        for (value, chosen) in table {
            let choice = wish(value).choice(&Coding::ALL);
            assert_eq!(choice.map(Coding::name), chosen, "{value:?}");
        }
        let ours = [Coding::Gzip, Coding::Brotli];
        assert_eq!(wish("zstd, br, gzip").choice(&ours), Some(Coding::Gzip));
        assert_eq!(wish("zstd").choice(&ours), None);
    }

    #[test]
    fn several_fields_are_one_list() {
        let mut wish = wish("gzip;q=0.5");
        wish.read(b"br;q=0.4");
        assert_eq!(wish.choice(&Coding::ALL), Some(Coding::Gzip));
    }

    proptest! {
        #[test]
        fn what_is_weighted_zero_is_never_chosen(
            before in "[a-z*;q=0-9., ]{0,20}",
            coding in 0usize..3,
            zero in prop::sample::select(vec!["0", "0.", "0.0", "0.00", "0.000", "x", "-1", "1.1"]),
            after in "[a-z*;q=0-9., ]{0,20}",
        ) {
            let coding = Coding::ALL[coding];
            let value = format!("{before}, {} ; q={zero} , {after}", coding.name());
            prop_assert_ne!(wish(&value).choice(&Coding::ALL), Some(coding), "{}", value);
            prop_assert!(!wish(&value).takes(coding));
        }

        #[test]
        fn any_value_is_read(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut wish = CodingWish::default();
            wish.read(&value);
            let choice = wish.choice(&Coding::ALL);
            prop_assert!(choice.is_none_or(|it| wish.takes(it)));
        }
    }
}
