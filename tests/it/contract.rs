//! The one way to run a contract over all kinds of stores.
//!
//! A case is a function of the suite's `Fixture` ([`crate::support::stores::Fixture`]), and becomes a test on each kind.
//! Sentinels and a cluster take long to start: there one test has all cases, each in a database of its own. Time is a
//! number that is passed in; nothing sleeps until something is over.

macro_rules! contract {
    (@on $module:ident $opened:ident: $($case:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some(fixture) = super::Fixture::$opened().await else { return };
                super::$case(fixture).await;
            })*
        }
    };
    (@in_turn $test:ident $server:expr; $($case:ident)*) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let Some(server) = $server.await else { return };
            let mut database = 0;
            $(
                eprintln!("{}", stringify!($case));
                database += 1;
                $case(Fixture::in_database(&server.url(), database).await).await;
            )*
        }
    };
    // Of a trait whose stores are databases.
    (on_databases: $($case:ident)*) => {
        $crate::contract::contract! { @on on_sqlite sqlite: $($case)* }
        $crate::contract::contract! { @on on_postgres postgres: $($case)* }
        $crate::contract::contract! { @on on_pgbouncer pgbouncer: $($case)* }
    };
    ($($case:ident)*) => {
        $crate::contract::contract! { $($case)*; not_on_memcached: ; on_memcached: }
    };
    ($($case:ident)*; not_on_memcached: $($more:ident)*; on_memcached: $($instead:ident)*) => {
        $crate::contract::contract! { @on on_memory memory: $($case)* $($more)* }
        $crate::contract::contract! { @on on_sqlite sqlite: $($case)* $($more)* }
        $crate::contract::contract! { @on on_redis redis: $($case)* $($more)* }
        $crate::contract::contract! { @on on_memcached memcached: $($case)* $($instead)* }
        $crate::contract::contract! {
            @in_turn it_holds_on_what_sentinels_watch_over
            $crate::support::redis_sentinel::RedisSentinel::start(&[]); $($case)* $($more)*
        }
        $crate::contract::contract! {
            @in_turn it_holds_on_a_cluster
            $crate::support::redis_cluster::RedisCluster::start(); $($case)* $($more)*
        }
    };
}

pub(crate) use contract;
