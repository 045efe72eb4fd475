//! authnzerver's wire on a real listener: requests that are made here, by the same rules as its client makes them.

mod access;
mod client;
mod envelope;
mod garbage;
mod limits;
mod login;
mod passwords;
mod sessions;
mod users;
