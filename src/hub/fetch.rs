//! A model from the hub into the cache: what is missing of it, and the download.

use std::fs;
use std::path::PathBuf;

use super::cache::{CONFIG, Cache, Content, INDEX, WEIGHTS, shards};
use super::client::{Client, Remote, patiently};
use super::download::Download;
use super::error::HubError;
use super::name::Name;
use super::news::Watch;
use super::selection::{Weights, select};
use super::settings::Settings;

/// The hub, with the cache of this machine.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    cache: Cache,
}

/// What is to be fetched of a repository.
#[derive(Debug, Clone)]
pub struct Order {
    name: Name,
    commit: String,
    files: Vec<Remote>,
    /// Bytes of all files that are used.
    pub bytes: u64,
    /// Those of them that are not here.
    pub missing_bytes: u64,
}

impl Order {
    /// Returns what was asked for.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns the commit that its revision is now.
    #[must_use]
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Returns the number of files that are used.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files.len()
    }
}

/// A repository that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The commit.
    pub commit: String,
    /// Folder of its files.
    pub folder: PathBuf,
}

impl Hub {
    /// Prepares; asks for nothing.
    ///
    /// # Errors
    /// An environment that does not say where the cache is.
    pub fn open(settings: Settings) -> Result<Self, HubError> {
        let cache = settings.cache.clone().ok_or(HubError::NoCache)?;
        Ok(Self { settings, cache })
    }

    /// Returns the cache.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Returns what is here of a revision if that is all that is needed. Asks for nothing.
    #[must_use]
    pub fn found(&self, name: &Name, content: Content) -> Option<Fetched> {
        let folder = self.cache.snapshot(name, content)?;
        Some(Fetched { commit: self.cache.commit(name)?, folder })
    }

    /// Asks the hub what a revision is and what is missing here. The index of divided weights is fetched, as
    /// it alone says which files there are.
    ///
    /// # Errors
    /// See [`HubError`].
    pub fn order(&self, name: &Name, content: Content, watch: &mut dyn Watch) -> Result<Order, HubError> {
        let client = self.client(name)?;
        let listing = patiently(&self.settings, watch, || client.list(name))?;
        let download = self.download(&client, name, &listing.commit);
        let describe = |file: &str, watch: &mut dyn Watch| {
            patiently(&self.settings, watch, || client.describe(name, &listing.commit, file))
        };
        let (small, weights) = select(name, &listing.files, content)?;
        let mut files = Vec::new();
        for file in small {
            files.push(describe(file, watch)?);
        }
        match weights {
            Weights::None => {}
            Weights::One => files.push(describe(WEIGHTS, watch)?),
            Weights::Divided => {
                for shard in self.shards(&download, &files, watch)? {
                    if shard.contains('/') || !listing.files.contains(&shard) {
                        return Err(self.unreadable(&format!("`{INDEX}` names `{shard}`, which is not beside it")));
                    }
                    files.push(describe(&shard, watch)?);
                }
            }
        }
        let bytes = files.iter().map(|remote| remote.bytes).sum();
        let missing_bytes = files.iter().map(|remote| download.missing(remote)).sum();
        Ok(Order { name: name.clone(), commit: listing.commit, files, bytes, missing_bytes })
    }

    /// Checks that the disk has room for all that is missing.
    ///
    /// # Errors
    /// A disk that is too small, a folder that cannot be made.
    pub fn check_room(&self, orders: &[Order]) -> Result<(), HubError> {
        let needed_bytes = orders.iter().map(|order| order.missing_bytes).sum();
        let cache = self.cache.folder();
        let failed = |source| HubError::cache(cache, source);
        fs::create_dir_all(cache).map_err(failed)?;
        let free_bytes = fs4::available_space(cache).map_err(failed)?;
        if needed_bytes > free_bytes {
            return Err(HubError::Room { cache: cache.to_owned(), needed_bytes, free_bytes });
        }
        Ok(())
    }

    /// Downloads what is missing, and then gives every file its name.
    ///
    /// # Errors
    /// See [`HubError`]. What was received stays, and the next attempt goes on from there.
    pub fn fetch(&self, order: &Order, watch: &mut dyn Watch) -> Result<Fetched, HubError> {
        let (name, commit) = (&order.name, &order.commit);
        let client = self.client(name)?;
        let download = self.download(&client, name, commit);
        for remote in &order.files {
            download.fetch(remote, watch)?;
        }
        // A folder is taken for a model by its configuration: that comes last.
        let (last, first): (Vec<&Remote>, Vec<&Remote>) = order.files.iter().partition(|remote| remote.file == CONFIG);
        for remote in first.into_iter().chain(last) {
            self.cache.link(name, commit, &remote.file, &remote.blob)?;
        }
        if name.commit().is_none() {
            self.cache.refer(name, commit)?;
        }
        Ok(Fetched { commit: commit.clone(), folder: self.cache.snapshot_of(name, commit) })
    }

    /// Returns the names of the files that weights are divided among.
    fn shards(
        &self,
        download: &Download<'_>,
        files: &[Remote],
        watch: &mut dyn Watch,
    ) -> Result<Vec<String>, HubError> {
        let index = files.iter().find(|remote| remote.file == INDEX);
        let index = index.ok_or_else(|| self.unreadable(&format!("`{INDEX}` is not there")))?;
        download.fetch(index, watch)?;
        let path = self.cache.blob(download.name, &index.blob);
        let text = fs::read(&path).map_err(|source| HubError::cache(&path, source))?;
        let shards = shards(&text).ok_or_else(|| self.unreadable(&format!("`{INDEX}` names no files")))?;
        Ok(shards.into_iter().collect())
    }

    fn client(&self, name: &Name) -> Result<Client<'_>, HubError> {
        if self.settings.is_offline {
            return Err(HubError::Offline { name: name.clone(), cache: self.cache.folder().to_owned() });
        }
        Client::new(&self.settings)
    }

    fn download<'a>(&'a self, client: &'a Client<'a>, name: &'a Name, commit: &'a str) -> Download<'a> {
        Download { settings: &self.settings, cache: &self.cache, client, name, commit }
    }

    fn unreadable(&self, problem: &str) -> HubError {
        HubError::Answer { endpoint: self.settings.endpoint.clone(), problem: problem.to_owned() }
    }
}
