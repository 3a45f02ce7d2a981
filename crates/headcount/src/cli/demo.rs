//! `demo`: everything that a newcomer needs to see users come out.

use super::terminal::tell;
use super::{open_embedded, open_store, serve};
use crate::config::Config;
use crate::sample;
use crate::service::keys::NewKey;
use crate::service::{ServiceError, flags};
use anyhow::bail;
use headcount_model::plan::Profile;
use headcount_model::timestamp::Timestamp;
use headcount_store::keys::{KeyKind, Secret};
use headcount_store::{Store, Waiting};
use std::sync::Arc;
use std::time::Duration;

const STANDARD_NAME: &str = "demo-standard";
const EXPORT_NAME: &str = "demo-export";
/// Demo keys end up in shell histories.
const LIFETIME: Duration = Duration::from_secs(7 * 86_400);

pub(super) async fn run(config: Config, load: serve::Load, count: u32) -> anyhow::Result<()> {
    let Some(embedded) = &config.source.embedded else {
        bail!(
            "demo works on sample users of its own, but source.url is set to {}; \
             leave it out for a demo, or run: headcount serve",
            config.source.url
        );
    };
    let mut users = open_embedded(&config, embedded)?;
    if users.is_empty()? {
        tell!("making {count} sample users in {}", config.data_dir.display());
        sample::fill(&mut users, count)?;
    }
    drop(users);

    let store = open_store(&config, Waiting::Clients).await?;
    let (profiles, known) = (config.profiles.clone(), config.flags.known.clone());
    let data_dir = headcount_model::text::visible(&config.data_dir.display().to_string());
    serve::serve(config, load, async |address: &str| {
        // Not before: a demo that already runs at this address has its keys in use, and its flags as somebody set them.
        let now = Timestamp::now();
        for flag in &known {
            flags::switch(&store, flag, true, now).await?;
        }
        revoke_earlier_keys(&store, now).await?;
        let standard = make_key(&store, STANDARD_NAME, KeyKind::Standard, &profiles).await?;
        let export = make_key(&store, EXPORT_NAME, KeyKind::Export, &profiles).await?;
        Ok(format!(
            "
Headcount is ready on {address}

  standard key  {standard}
  export key    {export}

Try:

  curl -f -o users.csv -H 'Authorization: Bearer {standard}' {address}/api/v1/users/export
  curl -f -o users_full.csv -H 'Authorization: Bearer {export}' {address}/api/v1/users/export-full
  curl -f -H 'Authorization: Bearer {export}' '{address}/api/v1/users/export-full?is_admin=true&limit=5'
  headcount --data-dir '{data_dir}' audit list

The API: {address}/docs   Stop with Ctrl-C. The keys last seven days.
",
            standard = standard.reveal(),
            export = export.reveal(),
        ))
    })
    .await
}

async fn make_key(
    store: &Store,
    name: &str,
    kind: KeyKind,
    profiles: &[Arc<Profile>],
) -> Result<Secret, ServiceError> {
    let key = NewKey {
        name: name.to_owned(),
        kind: Some(kind),
        grants: Vec::new(),
        without: Vec::new(),
        rows_per_day: None,
        lifetime: Some(LIFETIME),
    };
    let (_, secret) = key.checked(profiles)?.create(store, Timestamp::now()).await?;
    Ok(secret)
}

/// The keys of an earlier demo cannot be shown again, so they are of no use to anybody honest.
async fn revoke_earlier_keys(store: &Store, now: Timestamp) -> anyhow::Result<()> {
    for key in store.keys().await? {
        if [STANDARD_NAME, EXPORT_NAME].contains(&key.name.as_str()) && key.revoked_at.is_none() {
            store.revoke_key(&key.id, now).await?;
        }
    }
    Ok(())
}
