//! Passwords: hashes of here and elsewhere, and what happens under a flood.

use std::sync::Arc;

use proptest::prelude::*;

use super::hash::StoredHash;
use super::*;
use crate::secret::SystemRandom;

/// As little as Argon2 can do, so that the tests are quick.
const CHEAP: HashConfig = HashConfig { memory_kib: 16, passes: 1, lanes: 2, threads: 1, queue: 4 };

fn passwords(config: HashConfig) -> Passwords {
    Passwords::new(config, Arc::new(SystemRandom)).expect("valid parameters")
}

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

async fn check(passwords: &Passwords, password: &str, hash: &str) -> Checked {
    passwords.check(&secret(password), Some(&secret(hash))).await.expect("an answer")
}

#[tokio::test]
async fn a_password_is_known_again_and_another_is_not() {
    let passwords = passwords(CHEAP);
    let hash = passwords.hash(&secret("wonderland")).await.expect("a hash");
    let text = hash.expose_str().expect("text");
    assert!(text.starts_with("$argon2id$v=19$m=16,t=1,p=2$"), "{text}");
    for (password, expected) in [
        ("wonderland", Checked::Right),
        ("Wonderland", Checked::Wrong),
        ("wonderland ", Checked::Wrong),
        ("", Checked::Wrong),
    ] {
        assert_eq!(check(&passwords, password, text).await, expected, "{password:?}");
    }
    let again = passwords.hash(&secret("wonderland")).await.expect("a hash");
    assert_ne!(again, hash, "the salt is new each time");
}

#[tokio::test]
async fn a_hash_of_other_parameters_is_right_and_outdated() {
    let old = passwords(CHEAP).hash(&secret("wonderland")).await.expect("a hash");
    for config in [
        HashConfig { memory_kib: 24, ..CHEAP },
        HashConfig { passes: 2, ..CHEAP },
        HashConfig { lanes: 1, ..CHEAP },
    ] {
        let passwords = passwords(config);
        let checked = passwords.check(&secret("wonderland"), Some(&old)).await;
        assert_eq!(checked, Ok(Checked::NeedsRehash), "{config:?}");
        let checked = passwords.check(&secret("wonderful"), Some(&old)).await;
        assert_eq!(checked, Ok(Checked::Wrong), "{config:?}");
    }
}

/// Made by other programs: argon2-cffi 25, Python's bcrypt, and crypt_blowfish.
#[tokio::test]
async fn hashes_of_other_programs_are_checked_with_their_own_parameters() {
    let passwords = passwords(CHEAP);
    for (password, hash) in FOREIGN {
        assert_eq!(check(&passwords, password, hash).await, Checked::NeedsRehash, "{hash}");
        assert_eq!(check(&passwords, "another", hash).await, Checked::Wrong, "{hash}");
        assert_eq!(passwords.inspect(&secret(hash)), Ok(()), "{hash}");
    }
}

const FOREIGN: &[(&str, &str)] = &[
    (
        "Ünder the sea",
        "$argon2id$v=19$m=64,t=2,p=4$uHfXmsVDsXifm9JPFfzTFw$JQE4U0Ya2fQ9uxnnVfS4CzePE6bUc9EI/zBDyqnd+w0",
    ),
    (
        "correct horse",
        "$argon2i$v=19$m=32,t=1,p=1$YcXUwzLoFuWUJiUor0jeLw$MSzSXrC1TO6K7pUkyeT+zAfcBYaW7mSwbUZ+TkKEjSg",
    ),
    ("correct horse", "$argon2d$v=19$m=32,t=1,p=1$tNBM4Bm7PxQ$MzyPC6Xtfgt8SvLkpTgiog"),
    ("Ünder the sea", "$2a$04$zTZDw9NE/EHlTAxVdPl0SuDqAe72wSNcVqewKoc6k0DP/9YoiZp3."),
    ("Ünder the sea", "$2b$04$cNH0a/krC7MXXuEePJhU.uIOJgIcsIc8By2ahCComykkokdXWaQUK"),
    ("a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
    ("rasmuslerdorf", "$2y$07$BCryptRequires22Chrcte/VlQH0piJtjXl.0t1XkA8pw9dMXTpOq"),
];

#[tokio::test]
async fn a_password_is_the_same_however_a_keyboard_writes_it() {
    let passwords = passwords(CHEAP);
    let (composed, decomposed) =
        ("\u{e9}t\u{e9} \u{e0} l'ombre", "e\u{301}te\u{301} a\u{300} l'ombre");
    let hash = passwords.hash(&secret(decomposed)).await.expect("a hash");
    let hash = hash.expose_str().expect("text");
    for written in [composed, decomposed, "\u{e9}t\u{e9}\u{a0}\u{e0}\u{2007}l'ombre"] {
        assert_eq!(check(&passwords, written, hash).await, Checked::Right, "{written:?}");
    }
    assert_eq!(check(&passwords, "ete a l'ombre", hash).await, Checked::Wrong);
    assert_eq!(check(&passwords, &composed.to_uppercase(), hash).await, Checked::Wrong);
}

#[tokio::test]
async fn an_older_hash_of_a_password_as_it_was_typed_lives_until_it_is_made_anew() {
    let passwords = passwords(CHEAP);
    let typed = "U\u{308}nder the sea";
    let old = bcrypt::hash(typed, 4).expect("a hash");
    assert_eq!(check(&passwords, typed, &old).await, Checked::NeedsRehash);
    assert_eq!(check(&passwords, "\u{dc}nder the sea", &old).await, Checked::Wrong);
    // Argon2 with the parameters of today, over the bytes that were typed.
    let hasher = Hasher::new(&CHEAP).expect("valid parameters");
    let fresh = hasher.hash(&secret(typed), &[7; 16], &mut Vec::new()).expect("a hash");
    let old = fresh.into_phc();
    assert_eq!(passwords.check(&secret(typed), Some(&old)).await, Ok(Checked::NeedsRehash));
    let new = passwords.hash(&secret(typed)).await.expect("a hash");
    for typed in [typed, "\u{dc}nder the sea"] {
        assert_eq!(passwords.check(&secret(typed), Some(&new)).await, Ok(Checked::Right));
    }
}

#[tokio::test]
async fn bcrypt_looks_at_72_bytes_as_it_always_did() {
    let passwords = passwords(CHEAP);
    let long = "0123456789".repeat(10);
    let hash = bcrypt::hash(&long[..72], 4).expect("a hash");
    assert_eq!(check(&passwords, &long, &hash).await, Checked::NeedsRehash);
    assert_eq!(check(&passwords, &long[..71], &hash).await, Checked::Wrong);
}

#[tokio::test]
async fn what_cannot_be_checked_is_wrong_after_the_same_work() {
    let passwords = passwords(CHEAP);
    let valid = passwords.hash(&secret("x")).await.expect("a hash");
    assert_eq!(passwords.check(&secret("x"), None).await, Ok(Checked::Wrong));
    for hash in UNREADABLE {
        assert_eq!(check(&passwords, "x", hash).await, Checked::Wrong, "{hash}");
        assert!(passwords.inspect(&secret(hash)).is_err(), "{hash}");
    }
    // The dummy in its place fits no password either.
    assert_eq!(passwords.check(&secret("what nobody would use"), None).await, Ok(Checked::Wrong));
    let long = "x".repeat(MAX_PASSWORD_BYTES + 1);
    assert_eq!(passwords.check(&secret(&long), Some(&valid)).await, Ok(Checked::Wrong));
    assert_eq!(passwords.hash(&secret(&long)).await, Err(PasswordError::TooLong));
    let longest = secret(&long[1..]);
    let hash = passwords.hash(&longest).await.expect("a hash");
    assert_eq!(passwords.check(&longest, Some(&hash)).await, Ok(Checked::Right));
}

const UNREADABLE: &[&str] = &[
    "",
    "x",
    "plain text",
    "5f4dcc3b5aa765d61d8327deb882cf99",
    "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
    "$argon2id$v=19$m=65536,t=4294967295,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
    "$argon2id$v=19$m=16,t=1,p=1$c29tZXNhbHQ$aGFzaA",
    "$argon2id$v=19$m=16,t=1,p=1$c29tZXNhbHQ",
    "$argon2id$v=19$m=16,t=1,p=1",
    "$argon2id$v=99$m=16,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
    "$argon2q$v=19$m=16,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
    "$2b$31$C6UzMDM.H6dfI/f/IKcEeO7ZFjPjZ0GGyT8R8jGYxYRmWWuVfuvve",
    "$2b$00$C6UzMDM.H6dfI/f/IKcEeO7ZFjPjZ0GGyT8R8jGYxYRmWWuVfuvve",
    "$2x$05$C6UzMDM.H6dfI/f/IKcEeO7ZFjPjZ0GGyT8R8jGYxYRmWWuVfuvve",
    "$2b$05$short",
];

/// A worker that is held up until the test lets it go.
fn hold_up(
    passwords: &Arc<Passwords>,
) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let (started, has_started) = std::sync::mpsc::channel();
    let passwords = Arc::clone(passwords);
    let held = tokio::spawn(async move {
        let work = passwords.run(move |_| {
            started.send(()).expect("the test waits");
            let _ = gone.recv();
        });
        let _ = work.await;
    });
    tokio::task::block_in_place(|| has_started.recv().expect("a thread took the job"));
    (go, held)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_too_many_wait_the_next_is_told_so_at_once() {
    let passwords = Arc::new(passwords(CHEAP));
    let (go, held) = hold_up(&passwords);
    let waiting: Vec<_> = (0..CHEAP.queue)
        .map(|_| {
            let passwords = Arc::clone(&passwords);
            tokio::spawn(async move { passwords.check(&secret("x"), None).await })
        })
        .collect();
    while passwords.workers.waiting() < CHEAP.queue {
        tokio::task::yield_now().await;
    }
    assert_eq!(passwords.check(&secret("x"), None).await, Err(PasswordError::Busy));
    assert_eq!(passwords.hash(&secret("x")).await, Err(PasswordError::Busy));
    drop(go);
    held.await.expect("task");
    for answer in waiting {
        assert_eq!(answer.await.expect("task"), Ok(Checked::Wrong));
    }
    assert_eq!(passwords.check(&secret("x"), None).await, Ok(Checked::Wrong));
}

#[tokio::test]
async fn a_panic_costs_one_answer_and_no_thread() {
    let passwords = passwords(CHEAP);
    let panicked = passwords.run(|_| panic!("as a test")).await;
    assert_eq!(panicked, Err::<(), _>(PasswordError::Failed("the hashing stopped")));
    assert_eq!(passwords.check(&secret("x"), None).await, Ok(Checked::Wrong));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn hashing_yields_to_everything_else() {
    let nice = || {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("stat");
        // The fields after the name, of which nice is the 17th.
        let fields = stat.rsplit_once(')').expect("a name").1.to_owned();
        fields.split_whitespace().nth(16).expect("nice").parse::<i32>().expect("a number")
    };
    let before = nice();
    let of_the_worker = passwords(CHEAP).run(move |_| nice()).await;
    assert_eq!(of_the_worker, Ok(crate::wire::worker_pool::NICE));
    assert_eq!(nice(), before, "nobody else's priority changed");
}

#[test]
fn parameters_that_argon2_does_not_know_are_refused() {
    for config in [
        HashConfig { memory_kib: 0, ..CHEAP },
        HashConfig { memory_kib: 15, ..CHEAP },
        HashConfig { passes: 0, ..CHEAP },
        HashConfig { lanes: 0, ..CHEAP },
        HashConfig { lanes: u32::MAX, ..CHEAP },
    ] {
        assert!(Passwords::new(config, Arc::new(SystemRandom)).is_err(), "{config:?}");
    }
}

proptest! {
    #[test]
    fn no_text_is_taken_for_a_hash_that_asks_for_too_much(text in hash_like()) {
        let hasher = Hasher::new(&CHEAP).expect("valid parameters");
        if let Ok(StoredHash::Argon2 { params, salt, tag, .. }) = hasher.read(&secret(&text)) {
            prop_assert!(params.m_cost() <= 256 * 1024);
            prop_assert!(u64::from(params.m_cost()) * u64::from(params.t_cost()) <= 1 << 21);
            prop_assert!(salt.len() >= 8 && tag.expose().len() >= 16);
        }
    }
}

/// Texts that look like hashes, more or less.
fn hash_like() -> impl Strategy<Value = String> {
    let argon2 = (
        "\\$argon2(id|i|d|x)?",
        "(\\$v=(16|19|[0-9]{1,10}))?",
        (0_u64..1 << 33, 0_u64..1 << 33, 0_u64..300),
        "(\\$[A-Za-z0-9+/]{0,70}){0,3}",
    );
    prop_oneof![
        any::<String>(),
        argon2.prop_map(|(id, v, (m, t, p), rest)| format!("{id}{v}$m={m},t={t},p={p}{rest}")),
        "\\$argon2id\\$v=19\\$m=[0-9]{1,6},t=[1-9],p=[1-4]\\$[A-Za-z0-9+/]{22}\\$[A-Za-z0-9+/]{43}",
        "\\$2[abxy]\\$[0-9]{2}\\$[./A-Za-z0-9]{53}",
    ]
}
