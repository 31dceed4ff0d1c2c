//! Chance with a seed: the same cases in every run, on every machine.

/// A generator of numbers (splitmix64).
pub struct Chance(u64);

/// Bytes that parsers stumble over.
const ODD_BYTES: &[u8] = b"\r\n\0 \t:;,/\x0b\x0c\x7f\x80\xff\"0Aa_-";

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    /// Usually the first; once in `times` one of the others.
    pub fn mostly<T: Copy>(&mut self, times: usize, usual: T, odd: &[T]) -> T {
        if self.one_in(times) { self.pick(odd) } else { usual }
    }

    /// The same bytes in pieces: whole, cut at some points, or byte by byte.
    pub fn pieces(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let cuts = match self.below(20) {
            0 => return bytes.chunks(1).map(<[u8]>::to_vec).collect(),
            1..=9 => 0,
            n => n / 4,
        };
        let mut cuts: Vec<usize> = (0..cuts).map(|_| self.below(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        cuts.windows(2).map(|cut| bytes[cut[0]..cut[1]].to_vec()).collect()
    }

    /// One byte or a few changed, added, doubled or lost.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let at = self.below(bytes.len());
        let end = (at + 1 + self.below(4)).min(bytes.len());
        match self.below(6) {
            0 | 1 => bytes[at] = self.pick(ODD_BYTES),
            2 | 3 => bytes.insert(at, self.pick(ODD_BYTES)),
            4 => drop(bytes.drain(at..end)),
            _ => {
                let doubled = bytes[at..end].to_vec();
                bytes.splice(at..at, doubled);
            }
        }
    }
}
