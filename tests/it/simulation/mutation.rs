//! What is broken on purpose, to see that the rules notice.

/// A mistake in the store, in the channel of news, or in what a gate is told to believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// All is as it should be.
    None,
    /// Gates are not told that changes may have been missed.
    MissedIsSwallowed,
    /// Now and then a gate is not told of a change, and nobody knows.
    ChangeIsSwallowed,
    /// Now and then news of a change do not leave the store, and nobody knows.
    ChangeIsLost,
    /// The age of what was read is not looked at.
    AgeIsUnchecked,
    /// Nor is it while the store is down.
    AgeIsUncheckedWhenDown,
    /// A store that is down casts no doubt on what was read before.
    DownIsNoDoubt,
    /// To move the end of a session that is gone brings it back.
    RenewRevives,
    /// A session whose opening was under way while all of its user's ended lives.
    LateSessionLives,
    /// A revocation is acknowledged and does not happen.
    RevokeIsLost,
    /// A session is read with a later end than it has.
    EndIsMisread,
    /// Now and then a session that is there is not found.
    ReadFindsNothing,
    /// A claim whose lease is over is not given to anybody else.
    ClaimIsKept,
    /// A claim looks first and writes later.
    ClaimIsTorn,
    /// An exchange looks first and writes later.
    ExchangeIsTorn,
    /// Both.
    RotationIsTorn,
    /// What a caller began stops where he goes away.
    CallerStopsWork,
}

impl Mutation {
    /// Whether a claim is no atomic step.
    pub fn tears_claim(self) -> bool {
        matches!(self, Self::ClaimIsTorn | Self::RotationIsTorn)
    }

    /// Whether an exchange is no atomic step.
    pub fn tears_exchange(self) -> bool {
        matches!(self, Self::ExchangeIsTorn | Self::RotationIsTorn)
    }
}
