//! The statements about clients.

use super::engine::{Engine, Statement};
use super::rows::{self, to_millis};
use super::{Done, Existed, Found, Several, change, one, readable, written};
use crate::account::Client;

macro_rules! select_clients {
    ($rest:literal) => {
        concat!(
            "SELECT id, label, secrets, jwks, grants, scopes, audiences, introspects, created \
             FROM clients ",
            $rest
        )
    };
}

pub(super) async fn add_client(engine: &impl Engine, client: &Client) -> Done {
    let statement = Statement::new(
        "INSERT INTO clients \
         (label, secrets, jwks, grants, scopes, audiences, introspects, id, created) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    );
    let statement =
        rows::bind_client(statement, client).text(&client.id).number(to_millis(client.created));
    written(engine.run(vec![statement]).await, |_| "client id").map(drop)
}

pub(super) async fn client(engine: &impl Engine, id: &str) -> Found<Client> {
    one(engine, Statement::new(select_clients!("WHERE id = $1")).text(id), rows::client).await
}

pub(super) async fn clients(engine: &impl Engine) -> Several<Client> {
    readable(engine, Statement::new(select_clients!("ORDER BY id")), rows::client).await
}

pub(super) async fn change_client(engine: &impl Engine, client: &Client) -> Existed {
    let statement = Statement::new(
        "UPDATE clients SET label = $1, secrets = $2, jwks = $3, grants = $4, scopes = $5, \
         audiences = $6, introspects = $7 WHERE id = $8",
    );
    change(engine, rows::bind_client(statement, client).text(&client.id)).await
}

pub(super) async fn delete_client(engine: &impl Engine, id: &str) -> Existed {
    change(engine, Statement::new("DELETE FROM clients WHERE id = $1").text(id)).await
}
