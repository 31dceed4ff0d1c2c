//! The three encoders behind one face.
//!
//! Owns: their windows, by which their memory is known (docs/compression.md), and how bytes go in
//! and out. May touch: [`crate::settings`]. Driven by [`super::coded_body`]. What comes out is
//! appended to a vector.

use crate::settings::{Coding, CodingLevels};
use brotli::enc::{
    StandardAlloc,
    encode::{
        BrotliEncoderOperation as BrotliOperation, BrotliEncoderParameter as BrotliParameter,
        BrotliEncoderStateStruct,
    },
};
use flate2::{Compress, Compression as GzipLevel, FlushCompress, Status};
use std::{io, ops::RangeInclusive};
use zstd::stream::raw::{CParameter, Encoder as ZstdEncoder, InBuffer, Operation, OutBuffer};

/// Windows as powers of two: how far back a repetition is found. For bodies that are shorter, they are
/// smaller.
const GZIP_WINDOW: RangeInclusive<u32> = 10..=15;
/// Below 17, level 5 takes a table of 34 MB.
const BROTLI_WINDOW: RangeInclusive<u32> = 17..=18;
/// For a megabyte and more it takes larger tables, of which a step takes ten times as long.
const BROTLI_HINT: u64 = (1 << 20) - 1;
const ZSTD_WINDOW: RangeInclusive<u32> = 10..=18;
/// Of streams of events, which stay open for hours.
const EVENTS_WINDOW: u32 = 14;

/// Room for output is made in steps of this.
const ROOM: usize = 4 * 1024;

/// Makes one coded body.
pub(super) enum Encoder {
    Gzip(Compress),
    /// Boxed: it is large.
    Brotli(Box<BrotliEncoderStateStruct<StandardAlloc>>),
    Zstd(ZstdEncoder<'static>),
}

impl Encoder {
    /// For a body of `length` bytes, where that is known, or one that has `events` now and then.
    pub(super) fn new(
        coding: Coding,
        level: CodingLevels,
        length: Option<u64>,
        events: bool,
    ) -> io::Result<Self> {
        let fitting = length.map(|it| u64::BITS - it.saturating_sub(1).leading_zeros());
        let wanted = if events { Some(EVENTS_WINDOW) } else { fitting };
        let window = |range: RangeInclusive<u32>| {
            wanted.unwrap_or(*range.end()).clamp(*range.start(), *range.end())
        };
        Ok(match coding {
            Coding::Gzip => {
                let window = window(GZIP_WINDOW) as u8;
                Self::Gzip(Compress::new_gzip(GzipLevel::new(level.gzip), window))
            }
            Coding::Brotli => {
                let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
                state.set_parameter(BrotliParameter::BROTLI_PARAM_QUALITY, level.br);
                state.set_parameter(BrotliParameter::BROTLI_PARAM_LGWIN, window(BROTLI_WINDOW));
                if let Some(length) = length {
                    let hint = length.min(BROTLI_HINT) as u32;
                    state.set_parameter(BrotliParameter::BROTLI_PARAM_SIZE_HINT, hint);
                }
                Self::Brotli(Box::new(state))
            }
            Coding::Zstd => {
                let mut encoder = ZstdEncoder::new(level.zstd)?;
                encoder.set_parameter(CParameter::WindowLog(window(ZSTD_WINDOW)))?;
                encoder.set_pledged_src_size(length)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Takes all of `input`.
    pub(super) fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip(state) => gzip(state, input, FlushCompress::None, out),
            Self::Brotli(state) => {
                brotli(state, input, BrotliOperation::BROTLI_OPERATION_PROCESS, out)
            }
            Self::Zstd(state) => {
                let mut input = InBuffer::around(input);
                while input.pos < input.src.len() {
                    out.reserve(ROOM);
                    let end = out.len();
                    state.run(&mut input, &mut OutBuffer::around_pos(out, end))?;
                }
                Ok(())
            }
        }
    }

    /// Gives all that was taken, so that the client can decode it now.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip(state) => gzip(state, &[], FlushCompress::Sync, out),
            Self::Brotli(state) => brotli(state, &[], BrotliOperation::BROTLI_OPERATION_FLUSH, out),
            Self::Zstd(state) => zstd(out, |out| state.flush(out)),
        }
    }

    /// Gives the rest, and the end.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip(state) => gzip(state, &[], FlushCompress::Finish, out),
            Self::Brotli(state) => {
                brotli(state, &[], BrotliOperation::BROTLI_OPERATION_FINISH, out)
            }
            Self::Zstd(state) => zstd(out, |out| state.finish(out, true)),
        }
    }
}

fn gzip(
    state: &mut Compress,
    mut input: &[u8],
    flush: FlushCompress,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    loop {
        out.reserve(ROOM);
        let before = state.total_in();
        let status = state.compress_vec(input, out, flush)?;
        input = &input[(state.total_in() - before) as usize..];
        // With room left, it has given all there is. After the end it must not be asked again.
        if input.is_empty() && (status == Status::StreamEnd || out.len() < out.capacity()) {
            return Ok(());
        }
    }
}

fn brotli(
    state: &mut BrotliEncoderStateStruct<StandardAlloc>,
    input: &[u8],
    operation: BrotliOperation,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let (mut left, mut at) = (input.len(), 0);
    loop {
        // Without room of ours, it holds what comes out until that is taken.
        let (mut room, mut written) = (0, 0);
        let done = state.compress_stream(
            operation,
            &mut left,
            input,
            &mut at,
            &mut room,
            &mut [],
            &mut written,
            &mut None,
            &mut |_, _, _, _| (),
        );
        if !done {
            return Err(io::ErrorKind::InvalidData.into());
        }
        while state.has_more_output() {
            let mut size = 0;
            // It gives all of its storage.
            let given = state.take_output(&mut size);
            out.extend_from_slice(&given[..size]);
        }
        let is_last =
            !matches!(operation, BrotliOperation::BROTLI_OPERATION_FINISH) || state.is_finished();
        if left == 0 && is_last {
            return Ok(());
        }
    }
}

/// Asks for more until nothing is left.
fn zstd(
    out: &mut Vec<u8>,
    mut ask: impl FnMut(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>,
) -> io::Result<()> {
    loop {
        out.reserve(ROOM);
        let end = out.len();
        if ask(&mut OutBuffer::around_pos(out, end))? == 0 {
            return Ok(());
        }
    }
}
