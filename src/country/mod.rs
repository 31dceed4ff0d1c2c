//! Which country an address is in, and whether a route is for it.
//!
//! Owns: codes of countries, the rule, and the database. May touch: nothing outside this room.
//! Next: [`crate::filter::geo`] asks for each request.

mod database;

pub use database::{CountryDatabase, DatabaseFault};

use std::fmt;

/// A country by its two letters (ISO 3166-1), or none: the database does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountryCode(Option<[u8; 2]>);

impl CountryCode {
    /// Of an address that the database does not know.
    pub const UNKNOWN: Self = Self(None);

    /// Two upper-case letters.
    pub fn parse(text: &str) -> Option<Self> {
        let letters: [u8; 2] = text.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(Some(letters)))
    }

    /// The letters; empty if it is not known.
    pub fn as_str(&self) -> &str {
        let letters = self.0.as_ref().map_or(&[][..], |it| &it[..]);
        std::str::from_utf8(letters).unwrap_or_default()
    }

    /// Whether the database knows it.
    pub fn is_known(self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// For which countries a route is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountryRule {
    /// The countries that are named.
    pub named: Vec<CountryCode>,
    /// Whether those that are named may pass, and no others; or the other way round.
    pub named_pass: bool,
    /// Whether addresses without a country may pass.
    pub unknown_pass: bool,
}

impl CountryRule {
    /// Whether requests from `country` may pass.
    pub fn passes(&self, country: CountryCode) -> bool {
        if country.is_known() {
            self.named.contains(&country) == self.named_pass
        } else {
            self.unknown_pass
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> CountryCode {
        CountryCode::parse(text).expect(text)
    }

    #[test]
    fn codes_are_two_upper_case_letters() {
        assert_eq!(code("GB").as_str(), "GB");
        assert_eq!(CountryCode::UNKNOWN.as_str(), "");
        for text in ["", "G", "gb", "GBR", "G1", "É"] {
            assert_eq!(CountryCode::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_rule_says_who_may_pass() {
        let rule = |named_pass, unknown_pass| CountryRule {
            named: vec![code("GB"), code("US")],
            named_pass,
            unknown_pass,
        };
        for (country, named_pass, unknown_pass, passes) in [
            (code("GB"), true, false, true),
            (code("SE"), true, true, false),
            (code("GB"), false, true, false),
            (code("SE"), false, false, true),
            (CountryCode::UNKNOWN, true, false, false),
            (CountryCode::UNKNOWN, true, true, true),
            (CountryCode::UNKNOWN, false, false, false),
        ] {
            assert_eq!(rule(named_pass, unknown_pass).passes(country), passes, "{country}");
        }
    }
}
