//! Field lines as they pass from one head to another.
//!
//! Owns: which bytes of a head that was read are sent on. May touch: nothing outside this room.

use super::{fields::write_field, lexer::Field};
use bytes::Bytes;
use std::{iter::zip, mem::take, ops::Range};

/// Whether a name is this one, in any case. Setting bit 5 makes letters lower case; no other
/// character of a token (RFC 9110 §5.6.2) becomes another one that way. The length is known at
/// compile time, so that all bytes are compared at once.
pub fn is<const N: usize>(name: &[u8], spelling: &[u8; N]) -> bool {
    name.first_chunk::<N>().is_some_and(|name| {
        zip(name, spelling).fold(0, |odd, (byte, wanted)| odd | ((byte | 0x20) ^ wanted)) == 0
    }) && name.len() == N
}

/// The lines of the fields that are sent on. If they are next to each other in the head, they are
/// shared with it; otherwise they are copied.
pub struct FieldLines<'a> {
    block: &'a [u8],
    /// The head's size: as much room as a copy can need.
    size: usize,
    run: Range<usize>,
    copied: Vec<u8>,
}

impl<'a> FieldLines<'a> {
    /// Starts with no lines; `block` begins with a head of `size` bytes.
    pub fn new(block: &'a [u8], size: usize) -> Self {
        Self { block, size, run: 0..0, copied: Vec::new() }
    }

    /// Adds the next field.
    pub fn push(&mut self, field: &Field<'_>) {
        let line = self.line(field);
        if line.as_ref().is_none_or(|line| line.start != self.run.end) {
            self.copy();
        }
        match line {
            Some(line) if self.run.is_empty() => self.run = line,
            Some(line) => self.run.end = line.end,
            None => write_field(&mut self.copied, field.name, field.value),
        }
    }

    /// The place of a field's line, if it is in the usual form: one space, and CR LF.
    fn line(&self, field: &Field<'_>) -> Option<Range<usize>> {
        let start = field.name.as_ptr() as usize - self.block.as_ptr() as usize;
        let value = start + field.name.len() + 2;
        let end = value + field.value.len();
        let spelled = self.block.get(value - 2..value)? == b": "
            && self.block.get(end..end + 2)? == b"\r\n"
            && self.block[value..].as_ptr() == field.value.as_ptr();
        spelled.then_some(start..end + 2)
    }

    fn copy(&mut self) {
        if !self.run.is_empty() {
            if self.copied.is_empty() {
                self.copied.reserve(self.size);
            }
            self.copied.extend_from_slice(&self.block[take(&mut self.run)]);
        }
    }

    /// All lines, each with its CR LF. They are shared with `block` if they are next to each other.
    pub fn shared(mut self, block: &Bytes) -> Bytes {
        if self.copied.is_empty() {
            return block.slice(self.run);
        }
        self.copy();
        self.copied.into()
    }

    /// All lines, each with its CR LF, and room for as much as the head had.
    pub fn copy_all(&mut self) -> Vec<u8> {
        if self.copied.is_empty() {
            self.copied.reserve(self.size);
        }
        self.copy();
        take(&mut self.copied)
    }
}
