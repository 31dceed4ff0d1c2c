//! The head of a stored response: status and fields in one block.
//!
//! Owns: the block and how it is read. May touch: nothing outside this room.
//!
//! The block is the status in two bytes, then each field: one byte for a name that is known in this
//! spelling, else a 0, the name's length and the name; then the value's length and the value. As
//! text, names are a third of a small response's head, and finding a field means to look for the
//! end of each line.

use super::names;

/// The status and fields of a stored response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHead {
    block: Box<[u8]>,
}

/// The fields of a [`StoredHead`], in order.
#[derive(Clone, Debug)]
pub struct StoredFields<'a> {
    rest: &'a [u8],
}

impl StoredHead {
    /// Of names and values. A name may be anything of up to 65,535 bytes; [`None`] beyond that.
    pub fn new<'a>(
        status: u16,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Option<Self> {
        let mut block = status.to_be_bytes().to_vec();
        for (name, value) in fields {
            if let Some(number) = names::number(name) {
                block.push(number);
            } else {
                block.push(0);
                write_length(&mut block, u16::try_from(name.len()).ok()?.into());
                block.extend_from_slice(name);
            }
            write_length(&mut block, u32::try_from(value.len()).ok()?);
            block.extend_from_slice(value);
        }
        // Copied, as an allocator may leave a block that shrinks where it is, with its old size.
        Some(Self { block: block[..].into() })
    }

    /// Of lines as HTTP/1 has them, each with its CR LF. [`None`] if one has no colon.
    pub fn from_lines(status: u16, lines: &[u8]) -> Option<Self> {
        let ends = |line: &&[u8]| !line.trim_ascii().is_empty();
        let lines: Option<Vec<_>> = lines
            .split(|byte| *byte == b'\n')
            .filter(ends)
            .map(|line| {
                let colon = line.iter().position(|byte| *byte == b':')?;
                Some((&line[..colon], line[colon + 1..].trim_ascii()))
            })
            .collect();
        Self::new(status, lines?)
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.block.first_chunk().copied().map(u16::from_be_bytes).unwrap_or_default()
    }

    /// Names and values, in the order and spelling they came in.
    pub fn fields(&self) -> StoredFields<'_> {
        StoredFields { rest: self.block.get(2..).unwrap_or_default() }
    }

    /// The first value of a field.
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields().find(|field| field.0.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All values of a field.
    pub fn all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let named = move |field: &(&[u8], &[u8])| field.0.eq_ignore_ascii_case(name);
        self.fields().filter(named).map(|(_, value)| value)
    }

    /// Writes `Name: value` and CR LF for each field, as HTTP/1 has it.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.block.len() + 256);
        for (name, value) in self.fields() {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The bytes it has on the heap.
    pub fn weight(&self) -> u64 {
        self.block.len() as u64
    }
}

impl<'a> Iterator for StoredFields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&number, rest) = self.rest.split_first()?;
        self.rest = rest;
        let name = if number == 0 { self.text()? } else { names::name(number)? };
        Some((name, self.text()?))
    }
}

impl<'a> StoredFields<'a> {
    /// A length and so many bytes.
    fn text(&mut self) -> Option<&'a [u8]> {
        let (&first, mut rest) = self.rest.split_first()?;
        let mut length = usize::from(first);
        if first == LONG {
            let (bytes, after) = rest.split_first_chunk()?;
            (length, rest) = (u32::from_be_bytes(*bytes) as usize, after);
        }
        let (text, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(text)
    }
}

/// Says that the length follows in four bytes.
const LONG: u8 = 255;

fn write_length(block: &mut Vec<u8>, length: u32) {
    match u8::try_from(length) {
        Ok(short) if short != LONG => block.push(short),
        _ => {
            block.push(LONG);
            block.extend_from_slice(&length.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_come_back_as_they_were() {
        let lines = b"Content-Type: text/plain\r\netag: \"x\"\r\nX-Odd: \r\nVARY: a\r\nvary: b\r\n";
        let head = StoredHead::from_lines(203, lines).unwrap();
        let mut out = Vec::new();
        head.write(&mut out);
        assert_eq!(out, lines);
        assert_eq!(head.status(), 203);
        assert_eq!(head.first(b"ETag"), Some(&b"\"x\""[..]));
        assert_eq!(head.all(b"Vary").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(head.first(b"date"), None);
        assert!(StoredHead::from_lines(200, b"no colon\r\n").is_none());
    }

    proptest! {
        #[test]
        fn fields_come_back(fields: Vec<(Vec<u8>, Vec<u8>)>, long in 250_usize..70_000) {
            let mut fields = fields;
            fields.push((b"Link".to_vec(), vec![b'x'; long]));
            let slices = || fields.iter().map(|(name, value)| (&name[..], &value[..]));
            let head = StoredHead::new(200, slices()).unwrap();
            prop_assert!(head.fields().eq(slices()));
        }
    }
}
