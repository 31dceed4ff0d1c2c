//! A file of ticket keys: one a line, 64 hex digits; the first encrypts, all decrypt.
//!
//! Owns: the notation. `#` begins a comment. Messages do not quote the line, because it may be most
//! of a key.

/// A key as written.
pub type TicketKey = [u8; 32];

/// What is wrong with a file of ticket keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFault {
    /// It has none.
    Empty,
    /// A line, by its number from 1, has so many characters.
    Length(usize, usize),
    /// A line has a character that is not a hex digit.
    NotHex(usize),
    /// Two lines have the same key.
    Twice(usize, usize),
}

impl std::fmt::Display for KeysFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("has no key"),
            Self::Length(line, length) => {
                write!(f, "has {length} characters on line {line}, and a key has 64")
            }
            Self::NotHex(line) => write!(f, "has something else than hex digits on line {line}"),
            Self::Twice(first, line) => write!(f, "has one key twice, on lines {first} and {line}"),
        }
    }
}

/// Reads all keys of a file.
pub fn parse(text: &[u8]) -> Result<Vec<TicketKey>, KeysFault> {
    let mut keys: Vec<(usize, TicketKey)> = Vec::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let key = key(line, number)?;
        if let Some((first, _)) = keys.iter().find(|(_, known)| *known == key) {
            return Err(KeysFault::Twice(*first, number));
        }
        keys.push((number, key));
    }
    if keys.is_empty() {
        return Err(KeysFault::Empty);
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

fn key(line: &[u8], number: usize) -> Result<TicketKey, KeysFault> {
    let digit = |byte: &u8| (*byte as char).to_digit(16).map(|it| it as u8);
    let digits: Option<Vec<u8>> = line.iter().map(digit).collect();
    let digits = digits.ok_or(KeysFault::NotHex(number))?;
    if digits.len() != 64 {
        return Err(KeysFault::Length(number, digits.len()));
    }
    let mut key = TicketKey::default();
    for (byte, pair) in key.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = pair[0] << 4 | pair[1];
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_key_a_line() {
        let (one, two) = ("0f".repeat(32), "A1".repeat(32));
        let text = format!("# new\r\n{one}\r\n\n  {two}  ");
        assert_eq!(parse(text.as_bytes()), Ok(vec![[0x0f; 32], [0xa1; 32]]));
        for (text, fault) in [
            (String::new(), KeysFault::Empty),
            ("# none\n".to_owned(), KeysFault::Empty),
            (format!("{one}\n{two}a"), KeysFault::Length(2, 65)),
            (format!("\n{}g", &one[1..]), KeysFault::NotHex(2)),
            (format!("{two}\n{one}\n{}", two.to_lowercase()), KeysFault::Twice(1, 3)),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(fault), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_keys_or_not(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
