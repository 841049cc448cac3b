internal import Glibc
public import NatterSystem
public import NatterModel

/// One of the accounts of a home: `account` names the server and the user, `token` holds the session.
public struct Profile: Sendable {
    public static let defaultName = "default"

    public let name: String
    public let directory: String
    private let disk = PosixDisk()

    init(name: String, directory: String) { (self.name, self.directory) = (name, directory) }

    static func isName(_ name: String) -> Bool {
        func isPlain(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."): true
            default: byte.isASCIILetter || byte.isASCIIDigit
            }
        }
        let first = name.utf8.first
        return (1...64).contains(name.utf8.count) && name.utf8.allSatisfy(isPlain)
            && first != UInt8(ascii: ".") && first != UInt8(ascii: "-")
    }

    private var accountPath: String { "\(directory)/account" }
    private var tokenPath: String { "\(directory)/token" }
    /// The token of a login that is being stored. It replaces `token` after the account names it.
    private var nextTokenPath: String { "\(directory)/token.next" }

    /// The account; nil if none was stored. The server stays known after a logout.
    public func account() throws -> Account? {
        try checkDirectory()
        guard let bytes = try PrivateFile.read(accountPath, .readable) else { return nil }
        guard let account = Account(parsing: bytes) else {
            throw ProfileError.malformed(
                path: accountPath, problem: "is not as natter writes it", remedy: ProfileError.newLogin)
        }
        return account
    }

    /// The account of the current login.
    ///
    /// - Throws: `.notLoggedIn` if there is none.
    public func loggedIn() throws -> Account {
        guard let account = try account(), account.name != nil else { throw ProfileError.notLoggedIn(profile: name) }
        return account
    }

    /// The account of the current login and its token. Both belong to the same login, even while another one replaces
    /// them, or was killed while it did.
    public func credentials() throws -> (account: Account, token: Token) {
        for _ in 0..<100 {
            let account = try loggedIn()
            if let session = account.session {
                // The next token becomes the token at any moment, so look there again.
                for path in [tokenPath, nextTokenPath, tokenPath] {
                    if let token = try token(at: path), Account.fingerprint(of: token) == session {
                        return (account, token)
                    }
                }
            } else if let token = try token(at: tokenPath), try self.account() == account {
                // An earlier natter has not noted the session.
                return (account, token)
            }
            if try self.account() == account { break }
            usleep(1_000)
        }
        throw ProfileError.notLoggedIn(profile: name)
    }

    private func token(at path: String) throws -> Token? {
        try PrivateFile.read(path, .secret).map { try Profile.token(parsing: $0, path: path) }
    }

    /// More than a token takes.
    private static let tokenBytes = 1_024
    /// How long a pipe may have nobody at its other end.
    private static let pipeMilliseconds: Int32 = 10_000

    /// The token in the first line of a file that the user named, of a pipe or a descriptor such as `/dev/fd/3`, or of standard
    /// input for `-`. No byte after the line is read, because a message may follow.
    ///
    /// - Returns: also whether other users can read or change the file.
    public static func token(fromFile path: String) throws(ProfileError) -> (token: Token, isExposed: Bool) {
        // Without O_NONBLOCK, opening a pipe would wait for a writer.
        let flags = O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK
        let descriptor = path == "-" ? STDIN_FILENO : retrying { open(path, flags) }
        var status = stat()
        guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
            throw .unreadable(DiskError(operation: "open", path: path))
        }
        defer { if path != "-" { close(descriptor) } }
        if status.st_mode & S_IFMT == S_IFIFO {
            // A pipe that nobody writes to yet looks like one at its end.
            var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            _ = poll(&request, 1, pipeMilliseconds)
        }
        guard let line = readLine(descriptor, limit: tokenBytes) else {
            throw .unreadable(DiskError(operation: "read", path: path))
        }
        let isFile = status.st_mode & S_IFMT == S_IFREG
        return (try token(line.bytes, from: path), isFile && status.st_mode & 0o066 != 0)
    }

    /// - Parameter place: the file or variable that has the line.
    public static func token(_ line: some Sequence<UInt8>, from place: String) throws(ProfileError) -> Token {
        guard let token = Token(String(decoding: line.prefix { $0 != UInt8(ascii: "\r") }, as: UTF8.self)) else {
            throw .noToken(place: place)
        }
        return token
    }

    /// Creates the directory and checks that a login can be stored in it, before the server is asked for one.
    public func prepare() throws {
        try makeDirectory()
        try PrivateFile.checkRoom(Profile.roomBytes, beside: tokenPath)
    }

    /// Takes back what `prepare` created for a login that failed. It would look like a profile.
    public func removeIfEmpty() { _ = rmdir(directory) }

    /// More than an account and its token take.
    private static let roomBytes = 16_384

    private func makeDirectory() throws {
        try disk.makeDirectories(directory)
        try checkDirectory()
        if access(directory, W_OK | X_OK) != 0 { throw DiskError(operation: "create", path: tokenPath) }
    }

    /// Stores a login in place of a former one.
    ///
    /// The replacement of the account is the one step that ends the former login and begins the new one. A kill or a full
    /// disk leaves either of them whole.
    public func store(_ account: Account, _ token: Token) throws {
        var account = account
        account.session = Account.fingerprint(of: token)
        try withLock {
            // A login that was killed after that step has its only token there.
            if let next = try? self.token(at: nextTokenPath),
                (try? self.account())?.session == Account.fingerprint(of: next)
            {
                try disk.rename(nextTokenPath, to: tokenPath)
            }
            try PrivateFile.replace(nextTokenPath, with: Array("\(token.text)\n".utf8))
            try PrivateFile.replace(accountPath, with: Array(account.text.utf8))
            try disk.rename(nextTokenPath, to: tokenPath)
            try disk.syncDirectory(directory)
        }
    }

    /// Forgets the session if it still uses this token. The server stays known.
    public func forget(_ token: Token) throws {
        try withLock {
            guard let current = try? credentials(), current.token.text == token.text else { return }
            let left = Account(
                server: current.account.server, name: nil, store: nil, settings: current.account.settings)
            try PrivateFile.replace(accountPath, with: Array(left.text.utf8))
            try disk.removeIfThere(tokenPath)
            try disk.removeIfThere(nextTokenPath)
            try disk.syncDirectory(directory)
        }
    }

    /// Changes the account's server and settings. The session stays.
    ///
    /// - Parameter change: gets nil for a profile that does not exist yet.
    public func change(_ change: (Account?) throws -> Account) throws {
        try withLock { try PrivateFile.replace(accountPath, with: Array(try change(try account()).text.utf8)) }
    }

    /// Removes the profile with its session. The replica stays.
    public func removeAll() throws {
        try withLock {
            try disk.removeIfThere(accountPath)
            try disk.removeIfThere(tokenPath)
            try disk.removeIfThere(nextTokenPath)
            // A killed command has left its temporary file, with a token that may still be good.
            let remains = try disk.list(directory).filter {
                $0.hasPrefix(".account.") || $0.hasPrefix(".token.")
            }
            for file in remains { try disk.removeIfThere("\(directory)/\(file)") }
        }
        try disk.removeIfThere("\(directory)/lock")
        guard rmdir(directory) == 0 else { throw DiskError(operation: "remove", path: directory) }
    }

    private func withLock(_ body: () throws -> Void) throws {
        try makeDirectory()
        let path = "\(directory)/lock"
        guard let lock = try FileLock.take(path, timeoutMilliseconds: FileLock.patienceMilliseconds) else {
            throw ProfileError.locked(path: path)
        }
        try withExtendedLifetime(lock, body)
    }

    /// A symbolic link in place of the directory would lead to files that somebody else chose.
    private func checkDirectory() throws {
        var status = stat()
        guard lstat(directory, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return }
        throw ProfileError.unsafe(
            path: directory, problem: "is a symbolic link", remedy: "put the directory itself there")
    }

    private static func token(parsing bytes: [UInt8], path: String) throws -> Token {
        let line = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        guard let token = Token(String(decoding: line, as: UTF8.self)) else {
            throw ProfileError.malformed(path: path, problem: "holds no token", remedy: ProfileError.newLogin)
        }
        return token
    }
}

/// The server of a profile, and the user there.
public struct Account: Equatable, Sendable {
    /// The address, as `ServerAddress` writes it.
    public var server: String
    /// nil after a logout.
    public var name: String?
    /// The server's store at the login. Store and name identify a replica.
    public var store: StoreID?
    /// The fingerprint of the session's token, so that the token never goes to the server of another login; nil if an
    /// earlier natter has logged in.
    var session: String?
    /// The scope of a token from a file; nil for a session, which can do all.
    public var scope: String?
    /// The fingerprint of what a token is good for that can't do all. Such tokens sync only what they may see, so they have
    /// their own replica: in that of the login, their cursor would pass what they do not get. It is the same for the next token
    /// that is good for the same, so that its cursors and watches go on.
    var limitedScope: String?
    /// The settings of this profile alone.
    public var settings: [String: String] = [:]
    /// The settings that a profile may have besides its server.
    public static let settingNames = ["ca-file", "lang", "color", "fingerprint"]

    public init(server: String, name: String?, store: StoreID?, settings: [String: String] = [:]) {
        (self.server, self.name, self.store, self.settings) = (server, name, store, settings)
    }

    static func fingerprint(of token: Token) -> String { Hex.encode(Array(token.digest.bytes.prefix(16))) }

    /// The file's text: a line `key=value` for each field.
    var text: String {
        var text = "server=\(server)\n"
        if let name { text += "name=\(name)\n" }
        if let store { text += "store=\(store)\n" }
        if let session { text += "session=\(session)\n" }
        if let scope { text += "scope=\(scope)\n" }
        for (key, value) in settings.sorted(by: { $0.key < $1.key }) { text += "\(key)=\(value)\n" }
        return text
    }

    /// nil if a line is malformed or the server is missing. Unknown keys are skipped, so that an older natter can
    /// read the file of a newer one.
    init?(parsing bytes: [UInt8]) {
        var server: String?
        var start = 0
        while start < bytes.count {
            // Splits bytes, because splitting strings would cost more of a program's start than reading the file.
            let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            let line = bytes[start..<end]
            start = end + 1
            if line.isEmpty { continue }
            guard let equals = line.firstIndex(of: UInt8(ascii: "=")),
                let value = String(validating: line[(equals + 1)...], as: UTF8.self)
            else { return nil }
            switch String(decoding: line[..<equals], as: UTF8.self) {
            case "server": server = value
            case "name": name = value
            case "store":
                guard let id = StoreID(hex: value) else { return nil }
                store = id
            case "session": session = value
            case "scope": scope = value
            case let key where Account.settingNames.contains(key): settings[key] = value
            default: break
            }
        }
        guard let server else { return nil }
        self.server = server
    }
}

/// Why a stored account can't be used.
public enum ProfileError: FailureConvertible, Equatable {
    case notLoggedIn(profile: String)
    /// Others could have read or changed a token or its account.
    case unsafe(path: String, problem: Phrase, remedy: Phrase)
    case badName(String)
    case malformed(path: String, problem: Phrase, remedy: Phrase)
    /// A file of the home that this user may not open, or a token file that the user has named.
    case unreadable(DiskError)
    /// A token file, or a variable, that holds no token.
    case noToken(place: String)
    /// Another command holds the profile for longer than one that goes well.
    case locked(path: String)

    static let newLogin: Phrase = "use 'natter login NAME' again"

    public var failure: CommandFailure {
        func failure(_ exitCode: ExitCode, _ code: String, _ problem: Phrase, _ remedy: Phrase) -> CommandFailure {
            CommandFailure(exitCode, code: code, problem, remedy: remedy)
        }
        return switch self {
        case .notLoggedIn(let profile):
            failure(
                .refused, "not_logged_in",
                profile == Profile.defaultName ? "not logged in" : "not logged in in the profile '\(profile)'",
                "use 'natter login NAME', or 'natter register NAME' for a new account")
        case .unsafe(let path, let problem, let remedy):
            failure(.refused, "unsafe_file", "'\(path)' \(problem)", remedy)
        case .badName(let name):
            failure(
                .usage, "usage", "'\(name)' cannot be the name of a profile",
                "use 1 to 64 letters, digits, '.', '_' and '-'")
        case .malformed(let path, let problem, let remedy):
            failure(.configuration, "bad_configuration", "'\(path)' \(problem)", remedy)
        case .noToken(let place):
            failure(
                .configuration, "bad_configuration", "'\(place)' holds no token",
                "it should hold the last word that 'natter token create' prints")
        case .unreadable(let error): CommandFailure(unreadable: error)
        case .locked(let path): failure(.temporary, "locked", "'\(path)' is held by another command", "try again")
        }
    }
}
