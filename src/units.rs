//! The notations for durations, sizes and percentages: `"1h30m"`, `"64MiB"`, `"30%"`.
//!
//! Owns: parsing them and saying what is wrong. May touch: nothing outside this room. Next: the
//! table reader takes keys through these.

use std::time::Duration;

/// Why a text is not a duration, size or percentage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

const DURATION_UNITS: [(&str, u64); 6] = [
    ("y", 365 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// Parses `10s`, `250ms`, `2m`, `1h30m`, `1d`: whole numbers with a unit, the larger unit first.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(duration_error(text, None));
    }
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let (number, unit, tail) = number_and_unit(rest);
        let scale = DURATION_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
        let (Some(number), Some(scale)) = (whole(number), scale) else {
            return Err(duration_error(text, repaired_duration(text, number, unit, tail)));
        };
        if scale >= smallest {
            return Err(duration_error(text, None));
        }
        smallest = scale;
        total = number
            .checked_mul(scale)
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= 365 * 86_400_000)
            .ok_or_else(|| UnitError {
                message: format!("`{text}` is longer than a year"),
                hint: "the longest duration is `365d`".into(),
            })?;
        rest = tail;
    }
    Ok(Duration::from_millis(total))
}

/// Parses `64MiB`, `32KiB`, `1MB`, `512B` or `512`.
pub fn size(text: &str) -> Result<u64, UnitError> {
    let (number, unit, tail) = number_and_unit(text.trim());
    let scale = if unit.is_empty() {
        Some(1)
    } else {
        SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale)
    };
    match (whole(number), scale, tail) {
        (Some(value), Some(scale), "") => value
            .checked_mul(scale)
            .filter(|bytes| i64::try_from(*bytes).is_ok())
            .ok_or_else(|| UnitError {
                message: format!("`{text}` is larger than any machine has"),
                hint: "the largest size is `8388607TiB`".into(),
            }),
        _ => Err(size_error(text, number, unit, tail)),
    }
}

/// Parses `30%`: a whole number from 0 to 100.
pub fn percent(text: &str) -> Result<u32, UnitError> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
    number.filter(|percent| *percent <= 100).ok_or_else(|| UnitError {
        message: format!("`{text}` is not a percentage"),
        hint: match text.trim().parse::<u32>() {
            Ok(number) if number <= 100 => format!("did you mean `\"{number}%\"`?"),
            _ => "write a whole number from 0 to 100 and a `%`: `\"20%\"`".into(),
        },
    })
}

/// All of what [`share`] gives parts of.
pub const WHOLE: u32 = 1_000_000;

/// Parses `1%` or `0.05%`: millionths, from 0 to [`WHOLE`].
pub fn share(text: &str) -> Result<u32, UnitError> {
    let number = text.trim().strip_suffix('%').map(str::trim_end);
    millionths(number.unwrap_or_default()).ok_or_else(|| UnitError {
        message: format!("`{text}` is not a percentage"),
        hint: match millionths(text.trim()) {
            Some(_) => format!("did you mean `\"{}%\"`?", text.trim()),
            None => "write a number from 0 to 100 and a `%`: `\"20%\"`, `\"0.5%\"`".into(),
        },
    })
}

/// A number of hundredths with at most four decimals, as millionths.
fn millionths(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 4 {
        return None;
    }
    let parts = format!("{whole}{decimals:0<4}").parse::<u32>().ok()?;
    (parts <= WHOLE).then_some(parts)
}

/// A whole number; one that does not fit becomes the largest that does.
fn whole(digits: &str) -> Option<u64> {
    (!digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX))
}

/// The leading digits, the letters after them, and what follows.
fn number_and_unit(text: &str) -> (&str, &str, &str) {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let spaces = rest.len() - rest.trim_start().len();
    let letters = rest[spaces..]
        .find(|c: char| !c.is_alphabetic())
        .map_or(rest.len(), |length| length + spaces);
    // A blank between number and unit is not accepted, so it stays a part of the unit.
    (number, &rest[..letters], &rest[letters..])
}

fn duration_error(text: &str, hint: Option<String>) -> UnitError {
    let written = if text.is_empty() { "an empty text".into() } else { format!("`{text}`") };
    UnitError {
        message: format!("{written} is not a duration"),
        hint: hint.unwrap_or_else(|| {
            "write whole numbers with `ms`, `s`, `m`, `h`, `d` or `y`: `\"10s\"`, `\"1h30m\"`"
                .into()
        }),
    }
}

/// The likely meaning of a duration with a wrong unit, where it is plain.
fn repaired_duration(text: &str, number: &str, unit: &str, tail: &str) -> Option<String> {
    if number.is_empty() || number.len() + unit.len() != text.len() || !tail.is_empty() {
        return None;
    }
    let unit = match unit.trim().to_lowercase().as_str() {
        "" => return Some(format!("a duration needs a unit: `\"{number}s\"` or `\"{number}ms\"`")),
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "y" | "year" | "years" => "y",
        "ms" | "msec" | "millis" | "milliseconds" => "ms",
        _ => return None,
    };
    Some(format!("did you mean `\"{number}{unit}\"`?"))
}

fn size_error(text: &str, number: &str, unit: &str, tail: &str) -> UnitError {
    let likely = if number.is_empty() || !tail.is_empty() {
        None
    } else {
        let known = SIZE_UNITS.iter().map(|(name, _)| *name).find(|name| *name == unit.trim());
        known.or(match unit.trim().to_lowercase().as_str() {
            "b" | "byte" | "bytes" => Some("B"),
            "k" | "kb" | "kib" | "kbytes" => Some("KiB"),
            "m" | "mb" | "mib" | "mbytes" => Some("MiB"),
            "g" | "gb" | "gib" => Some("GiB"),
            "t" | "tb" | "tib" => Some("TiB"),
            _ => None,
        })
    };
    let written = if text.is_empty() { "an empty text".into() } else { format!("`{text}`") };
    UnitError {
        message: format!("{written} is not a size"),
        hint: likely.map_or_else(
            || "write a whole number with `B`, `KiB`, `MiB` or `GiB`: `\"64MiB\"`".into(),
            |unit| format!("did you mean `\"{number}{unit}\"`?"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        let seconds = Duration::from_secs;
        assert_eq!(duration("10s"), Ok(seconds(10)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(seconds(120)));
        assert_eq!(duration("1h30m"), Ok(seconds(5400)));
        assert_eq!(duration("1d"), Ok(seconds(86_400)));
        assert_eq!(duration("1y"), duration("365d"));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for wrong in ["", "10", "s", "1.5s", "-1s", "1m1h", "1s1s", "10 s", "10S", "366d", "1h30"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration("30sec").expect_err("unit").hint, "did you mean `\"30s\"`?");
        assert_eq!(duration("10 s").expect_err("blank").hint, "did you mean `\"10s\"`?");
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("32KiB"), Ok(32 << 10));
        assert_eq!(size("1MB"), Ok(1_000_000));
        assert_eq!(size("7"), Ok(7));
        for wrong in ["", "MiB", "1.5MiB", "64M", "64mib", "-1", "9999999TiB", "1MiB1KiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(size("64m").expect_err("unit").hint, "did you mean `\"64MiB\"`?");
    }

    #[test]
    fn percentages() {
        assert_eq!(percent("30%"), Ok(30));
        assert_eq!(percent("100%"), Ok(100));
        for wrong in ["", "%", "101%", "-1%", "0.5%", "20"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
        assert_eq!(percent("20").expect_err("sign").hint, "did you mean `\"20%\"`?");
    }

    #[test]
    fn shares() {
        assert_eq!(share("100%"), Ok(WHOLE));
        assert_eq!(share("1%"), Ok(10_000));
        assert_eq!(share("0.5 %"), Ok(5000));
        assert_eq!(share("33.3333%"), Ok(333_333));
        assert_eq!(share("0.0001%"), Ok(1));
        for wrong in ["", "%", "100.0001%", "-1%", "1", ".5%", "1.%", "0.00001%", "1e1%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
        assert_eq!(share("0.1").expect_err("sign").hint, "did you mean `\"0.1%\"`?");
    }

    proptest! {
        #[test]
        fn parts_of_a_duration_add_up(h in 0u64..100, m in 0u64..100, s in 0u64..100, ms in 0u64..5000) {
            let total = ((h * 60 + m) * 60 + s) * 1000 + ms;
            prop_assert_eq!(
                duration(&format!("{h}h{m}m{s}s{ms}ms")),
                Ok(Duration::from_millis(total))
            );
        }

        #[test]
        fn a_size_is_its_number_times_its_unit(number in 0u64..1_000_000, unit in 0..SIZE_UNITS.len()) {
            let (name, scale) = SIZE_UNITS[unit];
            prop_assert_eq!(size(&format!("{number}{name}")), Ok(number * scale));
        }

        #[test]
        fn any_text_is_read_or_refused_with_a_hint(text in ".*") {
            for hint in [
                duration(&text).err().map(|error| error.hint),
                size(&text).err().map(|error| error.hint),
                percent(&text).err().map(|error| error.hint),
                share(&text).err().map(|error| error.hint),
            ].into_iter().flatten() {
                prop_assert!(!hint.is_empty());
            }
        }
    }
}
