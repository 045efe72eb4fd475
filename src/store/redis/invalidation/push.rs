//! Reading a push of a server, whatever its shape.

use redis::{PushInfo, PushKind, Value};

/// The content of a push.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    /// The keys that it names.
    pub(super) keys: Vec<Vec<u8>>,
    /// True where it holds more than keys, or something unknown: anything may have changed.
    pub(super) is_unclear: bool,
    /// True where no more pushes will come.
    pub(super) is_last: bool,
}

/// Reads a push on a connection that tracks keys. Never leaves out a key, wherever it is; anything
/// else makes it unclear, as does the `nil` of a server that was emptied.
pub(super) fn read(push: PushInfo) -> Pushed {
    match push.kind {
        PushKind::Invalidate => {
            let mut pushed = Pushed { is_unclear: push.data.is_empty(), ..Pushed::default() };
            gather(push.data, &mut pushed);
            pushed
        }
        PushKind::Disconnection => Pushed { is_last: true, ..Pushed::default() },
        _ => Pushed { is_unclear: true, ..Pushed::default() },
    }
}

/// Not by recursion: the server chooses the depth.
fn gather(data: Vec<Value>, pushed: &mut Pushed) {
    let mut open = data;
    while let Some(value) = open.pop() {
        match value {
            Value::BulkString(key) => pushed.keys.push(key),
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => {
                pushed.keys.push(text.into_bytes());
            }
            Value::Okay => pushed.keys.push(b"OK".to_vec()),
            Value::Array(values) | Value::Set(values) => open.extend(values),
            Value::Push { data, .. } => {
                pushed.is_unclear = true;
                open.extend(data);
            }
            Value::Map(pairs) => {
                pushed.is_unclear = true;
                open.extend(pairs.into_iter().flat_map(<[Value; 2]>::from));
            }
            Value::Attribute { data, attributes } => {
                pushed.is_unclear = true;
                open.extend(attributes.into_iter().flat_map(<[Value; 2]>::from));
                open.push(*data);
            }
            _ => pushed.is_unclear = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invalidate(data: Vec<Value>) -> PushInfo {
        PushInfo { kind: PushKind::Invalidate, data }
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn the_keys_of_a_transaction_come_in_one_push() {
        let mut pushed = read(invalidate(vec![Value::Array(vec![bulk("a"), bulk("b")])]));
        pushed.keys.sort();
        assert_eq!(pushed, Pushed { keys: vec!["a".into(), "b".into()], ..Pushed::default() });
    }

    #[test]
    fn what_names_no_keys_makes_everything_suspect() {
        for data in [vec![Value::Nil], vec![], vec![Value::Int(7)], vec![Value::Boolean(true)]] {
            let pushed = read(invalidate(data.clone()));
            assert_eq!(pushed, Pushed { is_unclear: true, ..Pushed::default() }, "{data:?}");
        }
        let broken =
            PushInfo { kind: PushKind::Other("tracking-redir-broken".into()), data: vec![] };
        assert!(read(broken).is_unclear);
    }

    #[test]
    fn an_empty_list_of_keys_names_none_and_is_clear() {
        assert_eq!(read(invalidate(vec![Value::Array(vec![])])), Pushed::default());
    }

    #[test]
    fn the_end_of_the_connection_is_the_last_push() {
        let push = PushInfo { kind: PushKind::Disconnection, data: vec![] };
        assert_eq!(read(push), Pushed { is_last: true, ..Pushed::default() });
    }

    #[test]
    fn no_depth_is_too_deep() {
        let deep = (0..100_000).fold(bulk("key"), |inner, _| Value::Array(vec![inner]));
        assert_eq!(read(invalidate(vec![deep])).keys, [b"key".to_vec()]);
    }

    /// A value of any shape, and the keys in it.
    fn shapes() -> impl Strategy<Value = (Value, Vec<Vec<u8>>)> {
        let key = any::<Vec<u8>>();
        let leaf = prop_oneof![
            key.prop_map(|key| (Value::BulkString(key.clone()), vec![key])),
            ".*".prop_map(|text| (Value::SimpleString(text.clone()), vec![text.into_bytes()])),
            Just((Value::Nil, vec![])),
            any::<i64>().prop_map(|number| (Value::Int(number), vec![])),
            any::<f64>().prop_map(|number| (Value::Double(number), vec![])),
            any::<bool>().prop_map(|truth| (Value::Boolean(truth), vec![])),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            let many = prop::collection::vec(inner, 0..8);
            (many, 0..5u8).prop_map(|(parts, shape)| {
                let keys = parts.iter().flat_map(|(_, keys)| keys.clone()).collect();
                let values: Vec<Value> = parts.into_iter().map(|(value, _)| value).collect();
                let pairs = |values: Vec<Value>| {
                    let filled = |pair: &[Value]| {
                        (pair[0].clone(), pair.get(1).cloned().unwrap_or(Value::Nil))
                    };
                    values.chunks(2).map(filled).collect()
                };
                let value = match shape {
                    0 => Value::Array(values),
                    1 => Value::Set(values),
                    2 => Value::Map(pairs(values)),
                    3 => Value::Push { kind: PushKind::Invalidate, data: values },
                    _ => Value::Attribute { data: Box::new(Value::Nil), attributes: pairs(values) },
                };
                (value, keys)
            })
        })
    }

    proptest! {
        #[test]
        fn no_key_is_ever_left_out(shapes in prop::collection::vec(shapes(), 0..6)) {
            let mut expected: Vec<_> = shapes.iter().flat_map(|(_, keys)| keys.clone()).collect();
            let data: Vec<Value> = shapes.into_iter().map(|(value, _)| value).collect();
            let mut pushed = read(invalidate(data));
            pushed.keys.sort();
            expected.sort();
            prop_assert_eq!(&pushed.keys, &expected);
        }
    }
}
