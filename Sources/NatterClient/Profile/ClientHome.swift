internal import Glibc
public import NatterSystem
public import NatterModel

/// The directories in which natter keeps profiles and replicas.
public struct ClientHome: Sendable {
    /// Replicas, outboxes, and all that can be fetched again.
    public let path: String
    /// Settings and profiles. It may be the same directory.
    public let settingsDirectory: String

    /// Everything in one directory.
    ///
    /// - Parameter path: need not exist yet.
    public init(path: String) { self.init(path: path, settingsDirectory: path) }

    private init(path: String, settingsDirectory: String) {
        (self.path, self.settingsDirectory) = (path, settingsDirectory)
    }

    /// The directories of the XDG Base Directory Specification. A home of an earlier version, which keeps everything with
    /// its data, stays as it is.
    public static func standard(data: String, settings: String) -> ClientHome {
        func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
        if !exists(settings), exists("\(data)/profiles") || exists("\(data)/config") { return ClientHome(path: data) }
        return ClientHome(path: data, settingsDirectory: settings)
    }

    public func profile(_ name: String) throws(ProfileError) -> Profile {
        guard Profile.isName(name) else { throw .badName(name) }
        return Profile(name: name, directory: "\(settingsDirectory)/profiles/\(name)")
    }

    /// The names of all profiles, sorted.
    public func profileNames() throws -> [String] {
        let disk = PosixDisk()
        let directory = "\(settingsDirectory)/profiles"
        guard try disk.information(directory)?.isDirectory == true else { return [] }
        return try disk.list(directory).filter { Profile.isName($0) }.sorted()
    }

    /// The replica of a user of a store. Another address of the store or another profile leads to the same replica,
    /// but another user never does.
    ///
    /// - Parameter limitedScope: the fingerprint of a scope that has its own replica.
    public func replica(store: StoreID, user: String, limitedScope: String? = nil) -> ReplicaLocation {
        ReplicaLocation(home: path, store: store, user: user, limitedScope: limitedScope)
    }

    /// The replica of an account; nil before a login has told its name and store.
    public func replica(of account: Account) -> ReplicaLocation? {
        guard let name = account.name, let store = account.store else { return nil }
        return replica(store: store, user: name, limitedScope: account.limitedScope)
    }

    /// The known account of a token from a file, so that the server need not be asked each time.
    public func tokenAccount(_ token: Token) -> TokenAccount {
        TokenAccount(directory: "\(path)/tokens", fingerprint: Account.fingerprint(of: token))
    }
}

extension FileLock {
    /// How long a command waits for another one that works with the same files.
    static let patienceMilliseconds = 10_000
}

/// The file `config`: settings for all commands.
extension ClientHome {
    public var settingsPath: String { "\(settingsDirectory)/config" }

    /// The text of the file; nil if there is none, which costs only one attempt to open it.
    ///
    /// - Throws: `ProfileError.unsafe` if others could have changed it, because it may name the server to send a
    ///   token to; `.malformed` if it is not UTF-8.
    public func settings() throws -> String? {
        guard let bytes = try PrivateFile.read(settingsPath, .readable) else { return nil }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ProfileError.malformed(
                path: settingsPath, problem: "is not UTF-8", remedy: "remove it and set all anew")
        }
        return text
    }

    /// Replaces the text in one step, durably. A lock makes each of several processes see the change of the one
    /// before.
    public func changeSettings(_ change: (String) -> String) throws {
        try PosixDisk().makeDirectories(settingsDirectory)
        let lockPath = "\(settingsDirectory)/config.lock"
        guard let lock = try FileLock.take(lockPath, timeoutMilliseconds: FileLock.patienceMilliseconds) else {
            throw ProfileError.locked(path: lockPath)
        }
        defer { withExtendedLifetime(lock) {} }
        let bytes = Array(change(try settings() ?? "").utf8)
        guard bytes.count <= PrivateFile.limitBytes else {
            throw ProfileError.malformed(
                path: settingsPath, problem: "would be longer than \(PrivateFile.limitBytes) bytes",
                remedy: "remove some of its comments")
        }
        try PrivateFile.replace(settingsPath, with: bytes)
    }
}

/// The account of a token from a file, because a replica belongs to a user. It is stored under a part of the token's
/// hash.
public struct TokenAccount: Sendable {
    let directory: String
    let fingerprint: String

    private var path: String { "\(directory)/\(fingerprint)" }

    /// Without a name if nobody has asked the server for it yet. nil before the first answer, or if an earlier natter has written
    /// it, which did not keep the scope.
    public func load() -> Account? {
        guard let bytes = try? PrivateFile.read(path, .readable), let account = Account(parsing: bytes),
            account.store != nil, (account.name == nil) == (account.scope == nil)
        else { return nil }
        return limited(account)
    }

    /// - Returns: the account as `load` gives it from now on.
    @discardableResult
    public func store(_ account: Account) throws -> Account {
        try PosixDisk().makeDirectories(directory)
        try PrivateFile.replace(path, with: Array(account.text.utf8))
        return limited(account)
    }

    private func limited(_ account: Account) -> Account {
        var account = account
        guard let scope = account.scope, scope != "all", let name = account.name, let store = account.store else {
            return account
        }
        account.limitedScope = Hex.encode(Array(Digest(of: Array(scope.utf8)).bytes.prefix(8)))
        // Until 2026-11-29 each token had a replica of its own, with the watches in it.
        let home = Path.directory(of: directory)
        let replica = ReplicaLocation(home: home, store: store, user: name, limitedScope: account.limitedScope)
        let former = ReplicaLocation(home: home, store: store, user: name, limitedScope: fingerprint)
        let disk = PosixDisk()
        if (try? disk.information(replica.directory)) == nil {
            try? disk.rename(former.directory, to: replica.directory)
        }
        return account
    }
}
