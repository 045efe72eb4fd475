//! Mistakes that are made on purpose, to see that the rules notice them.

/// A mistake in the store, in an invalidation channel, or in the rules of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// All is as it should be.
    None,
    /// Gates ignore that invalidations may have been lost.
    LossIgnored,
    /// Now and then a gate ignores an invalidation.
    ChangeIgnored,
    /// Now and then the store sends no invalidation for a change.
    ChangeNotSent,
    /// The age of a cached record is not checked.
    AgeUnchecked,
    /// The age of a cached record is not checked while the store is down.
    AgeUncheckedWhenDown,
    /// Records that were read before the store went down are not suspect.
    TrustedWhenDown,
    /// A head that was let pass once is let pass for ever.
    HeadKept,
    /// A renewal brings back a session that has ended.
    RenewRestores,
    /// A session that is opened while all sessions of its user end goes on.
    NotBeforeIgnored,
    /// A revocation is acknowledged and has no effect.
    RevokeIgnored,
    /// A session is read with a later expiry than it has.
    ExpiryMisread,
    /// Now and then a session is not found.
    ReadNotFound,
    /// A lease that has expired is not given to anybody else.
    LeaseNeverExpires,
    /// Acquiring a lease reads first and writes later.
    LeaseNotAtomic,
    /// Rotating a token reads first and writes later.
    RotateNotAtomic,
    /// Both.
    LeaseAndRotateNotAtomic,
    /// Work stops when its caller goes away.
    CancelledWithCaller,
}

impl Mutation {
    /// Tells whether acquiring a lease is not atomic.
    pub fn splits_lease(self) -> bool {
        matches!(self, Self::LeaseNotAtomic | Self::LeaseAndRotateNotAtomic)
    }

    /// Tells whether rotating a token is not atomic.
    pub fn splits_rotate(self) -> bool {
        matches!(self, Self::RotateNotAtomic | Self::LeaseAndRotateNotAtomic)
    }
}
