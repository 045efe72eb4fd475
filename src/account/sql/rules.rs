//! The statements about rules of a policy, and about the roles that users have.

use std::fmt::Debug;

use async_trait::async_trait;

use super::engine::{BadColumn, Engine, Row, Statement};
use super::rows::{json, list, record, time, to_millis};
use super::{SqlAccounts, read, written};
use crate::account::{AccountError, RoleGroup, RuleSet, RuleStore, StoredRule};

/// The error where the row with the version is gone.
fn without_version() -> AccountError {
    AccountError::Corrupt {
        what: "policy",
        id: "version".to_owned(),
        reason: "it is missing".to_owned(),
    }
}

/// Advances the version. The row is locked by it, so that of two changes the second waits for the first.
fn advance() -> Statement {
    Statement::new("UPDATE policy_version SET version = version + 1 WHERE id = 1").required()
}

#[async_trait]
impl<D: Debug + Send + Sync> RuleStore for SqlAccounts<D>
where
    Self: Engine,
{
    async fn rules_version(&self) -> Result<u64, AccountError> {
        let statement = Statement::new("SELECT version FROM policy_version WHERE id = 1");
        let rows = read(self, statement).await?;
        version(rows.first().ok_or_else(without_version)?)
    }

    async fn rules(&self) -> Result<RuleSet, AccountError> {
        // One statement, so that version and rules are those of one moment.
        let statement = Statement::new(
            "SELECT version, place, kind, fields, created, created_by, \
             COALESCE(kind, '') || ' ' || COALESCE(fields, '') AS id FROM policy_version \
             LEFT JOIN policy_rules ON policy_version.id = 1 WHERE policy_version.id = 1 \
             ORDER BY place",
        );
        let rows = read(self, statement).await?;
        let version = version(rows.first().ok_or_else(without_version)?)?;
        let rules = rows.iter().filter_map(|row| rule(row).transpose());
        Ok(RuleSet { version, rules: rules.collect::<Result<_, _>>()? })
    }

    async fn add_rules(&self, rules: &[StoredRule]) -> Result<u64, AccountError> {
        let inserts = rules.iter().map(|rule| {
            Statement::new(
                "INSERT INTO policy_rules (kind, fields, created, created_by, place) \
                 SELECT $1, $2, $3, $4, COALESCE(MAX(place), 0) + 1 FROM policy_rules WHERE true \
                 ON CONFLICT (kind, fields) DO NOTHING",
            )
            .text(&rule.kind)
            .text(list(&rule.fields))
            .number(to_millis(rule.created))
            .text(&rule.created_by)
        });
        change(self, inserts).await
    }

    async fn remove_rules(&self, rules: &[StoredRule]) -> Result<u64, AccountError> {
        let deletes = rules.iter().map(|rule| {
            Statement::new("DELETE FROM policy_rules WHERE kind = $1 AND fields = $2")
                .text(&rule.kind)
                .text(list(&rule.fields))
        });
        change(self, deletes).await
    }

    async fn role_groups(&self) -> Result<Vec<RoleGroup>, AccountError> {
        let statement = Statement::new("SELECT roles, COUNT(*) AS users FROM users GROUP BY roles");
        let rows = read(self, statement).await?;
        rows.iter().map(role_group).collect()
    }
}

/// Runs changes behind the version. Returns the number of rows that they touched.
async fn change(
    engine: &impl Engine,
    changes: impl Iterator<Item = Statement>,
) -> Result<u64, AccountError> {
    let statements = std::iter::once(advance()).chain(changes).collect();
    let touched = written(engine.run(statements).await, |_| "rule")?;
    match touched.split_first() {
        Some((1, changed)) => Ok(changed.iter().sum()),
        // Nobody who follows the version would have known of the change.
        _ => Err(without_version()),
    }
}

fn version<R: Row>(row: &R) -> Result<u64, AccountError> {
    record(row, "policy", |row| {
        u64::try_from(row.number("version")?).map_err(|_| BadColumn("version"))
    })
}

/// The rule in a row; `None` where there is no rule at all.
fn rule<R: Row>(row: &R) -> Result<Option<StoredRule>, AccountError> {
    record(row, "rule", |row| {
        let Some(kind) = row.optional_text("kind")? else { return Ok(None) };
        let (fields, created) = (json(row, "fields")?, time(row, "created")?);
        Ok(Some(StoredRule { kind, fields, created, created_by: row.text("created_by")? }))
    })
}

fn role_group<R: Row>(row: &R) -> Result<RoleGroup, AccountError> {
    record(row, "user", |row| {
        let users = u64::try_from(row.number("users")?).map_err(|_| BadColumn("users"))?;
        Ok(RoleGroup { roles: json(row, "roles")?, users })
    })
}
