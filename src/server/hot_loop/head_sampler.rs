//! Which heads are looked up before they are parsed. Where most are new the look-up is in vain, and costs more than it saves:
//! then few of them are, to notice when they come again.

/// The most look-ups in vain that are made on the credit of earlier ones.
const MAX_CREDIT: u8 = 32;
/// A look-up saves about twice of what one in vain costs.
const GAIN: u8 = 2;
/// Without credit one head of so many is looked up.
const SAMPLE: u8 = 8;

/// The look-ups of one connection.
#[derive(Debug)]
pub(super) struct HeadSampler {
    credit: u8,
    skipped: u8,
}

impl Default for HeadSampler {
    fn default() -> Self {
        Self { credit: MAX_CREDIT, skipped: 0 }
    }
}

impl HeadSampler {
    /// Returns whether the next head is to be looked up.
    pub(super) fn is_due(&mut self) -> bool {
        if self.credit == 0 {
            self.skipped = (self.skipped + 1) % SAMPLE;
        }
        self.credit > 0 || self.skipped == 0
    }

    /// Takes note of a look-up.
    pub(super) fn note(&mut self, was_found: bool) {
        self.credit = if was_found {
            (self.credit + GAIN).min(MAX_CREDIT)
        } else {
            self.credit.saturating_sub(1)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of look-ups for so many heads, of which each `one_in`th is found.
    fn looked_up(sampler: &mut HeadSampler, heads: usize, one_in: usize) -> usize {
        let looked_up = (0..heads).filter(|head| {
            let is_due = sampler.is_due();
            if is_due {
                sampler.note(one_in > 0 && head % one_in == 0);
            }
            is_due
        });
        looked_up.count()
    }

    #[test]
    fn heads_are_looked_up_where_it_pays_and_now_and_then_where_it_does_not() {
        let mut sampler = HeadSampler::default();
        assert_eq!(looked_up(&mut sampler, 1_000, 1), 1_000);
        assert_eq!(looked_up(&mut sampler, 1_000, 2), 1_000, "each second one is found");
        let of_new = looked_up(&mut sampler, 8_000, 0);
        assert!((1_000..1_100).contains(&of_new), "one of eight: {of_new}");
        let of_old = looked_up(&mut sampler, 1_000, 1);
        assert!((900..1_000).contains(&of_old), "it is noticed soon: {of_old}");
        assert!(looked_up(&mut sampler, 8_000, 5) < 4_000, "each fifth one is not enough");
    }
}
