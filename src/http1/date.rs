//! The `Date` of a response, written once a second.
//!
//! Owns: a worker's current date. May touch: nothing outside this room.

use httpdate::HttpDate;
use std::{
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
type DateText = [u8; 29];

/// A worker's current date.
#[derive(Debug)]
pub struct Date(Mutex<(u64, DateText)>);

impl Default for Date {
    fn default() -> Self {
        Self(Mutex::new((u64::MAX, [b' '; 29])))
    }
}

impl Date {
    /// The date at `now`, the process's time in milliseconds, up to a second old.
    pub fn at(&self, now: u64) -> DateText {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.0 != now / 1000 {
            let text = HttpDate::from(SystemTime::now()).to_string();
            cached.0 = now / 1000;
            if let Ok(text) = text.as_bytes().try_into() {
                cached.1 = text;
            }
        }
        cached.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_date() {
        let text = Date::default().at(60_000);
        let parsed = httpdate::parse_http_date(std::str::from_utf8(&text).unwrap()).unwrap();
        assert!(SystemTime::now().duration_since(parsed).unwrap().as_secs() < 5);
    }
}
