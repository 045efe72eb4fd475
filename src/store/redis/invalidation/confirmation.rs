//! Up to which moment a server has told of every change: pure.

use std::collections::VecDeque;

/// The number of a round; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Round(u64);

impl Round {
    /// The round after this one.
    pub(super) fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// The answers after that to a question by which all is known that had changed before it.
///
/// A server that tracks keys gathers changes, and sends them at one place in its loop (`trackingBroadcastInvalidationMessages` in
/// Redis and Valkey). So an answer may overtake changes that were made before its question. Between two such places a server reads from a
/// connection three times at most, where threads read for it: before that place, behind it, and in the loop. As each question
/// waits for the answer to the one before, the changes are sent no later than the third answer after that.
const ANSWERS_AFTER: usize = 3;

/// The questions that a server answered, one after the other.
#[derive(Debug, Default)]
pub(super) struct Answers(VecDeque<Round>);

impl Answers {
    /// Notes the answer to a question that was sent in this round. Returns the round before which all changes are known now.
    pub(super) fn note(&mut self, round: Round) -> Option<Round> {
        self.0.push_back(round);
        if self.0.len() > ANSWERS_AFTER { self.0.pop_front() } else { None }
    }

    /// Notes a question that the server refused for a moment. While it runs a script for long, it sends no changes.
    pub(super) fn note_refusal(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_confirmed_by_the_third_answer_after_one_to_a_question_in_it() {
        let (mut answers, first) = (Answers::default(), Round::default().next());
        for _ in 0..ANSWERS_AFTER {
            assert_eq!(answers.note(first), None);
        }
        let second = first.next();
        for _ in 0..ANSWERS_AFTER {
            assert_eq!(answers.note(second), Some(first));
        }
        assert_eq!(answers.note(second), Some(second));
    }

    #[test]
    fn answers_before_a_refusal_confirm_nothing() {
        let (mut answers, round) = (Answers::default(), Round::default().next());
        for _ in 0..ANSWERS_AFTER {
            assert_eq!(answers.note(round), None);
        }
        answers.note_refusal();
        for _ in 0..ANSWERS_AFTER {
            assert_eq!(answers.note(round), None);
        }
        assert_eq!(answers.note(round), Some(round));
    }
}
