internal import Glibc
internal import NatterHTTP
internal import NatterCommandLine
internal import NatterClient
internal import NatterSystem
internal import NatterModel
internal import NatterProtocol

/// Runs a command that needs a context.
func inContext(_ body: @escaping @Sendable (Context) throws -> ExitCode) -> CommandBody {
    { arguments, console in
        let context = Context(arguments, console)
        do {
            // Before a message or a password is read from there.
            if context.tokenPath == "-" { _ = try context.givenToken() }
            let code = try body(context)
            if context.hasChanged { try console.output.flush() }
            return code
        } catch let error as OutputError where context.hasChanged {
            throw error.afterwards
        }
    }
}

/// The profile, server, replica and output of a command. Nothing is read or opened before it is needed.
struct Context {
    static let defaultServer = "http://127.0.0.1:7117"
    static let defaultTimeoutMilliseconds: Int64 = 30_000

    let arguments: Arguments
    let console: Console

    /// Values that were read once. All copies share them.
    private final class Known {
        var home: ClientHome?
        var settings: ConfigFile?
        var token: Token?
        var hasChanged = false
    }
    private let known = Known()

    init(_ arguments: Arguments, _ console: Console) { (self.arguments, self.console) = (arguments, console) }

    /// Whether something was changed, here or on the server, that the user asked for.
    var hasChanged: Bool { known.hasChanged }
    func noteChange() { known.hasChanged = true }

    var isOffline: Bool { arguments.flag("offline") }
    var wantsJSON: Bool { arguments.flag("json") }
    var now: Timestamp { console.clock.now() }

    func timeoutMilliseconds() throws -> Int {
        Int(
            try arguments.seconds("timeout", in: Setting.timeoutSeconds)
                ?? setting(.timeout).flatMap(Setting.milliseconds) ?? Context.defaultTimeoutMilliseconds)
    }

    /// The colours from `--color`, the setting, or the environment. An invalid settings file is ignored here. A command
    /// that needs a setting reports the error.
    var paint: Paint {
        if !arguments.has("color"),
            let value = profileSetting("color", nil) ?? (try? Setting.color.value(in: settingsFile())),
            let choice = ColorChoice(rawValue: value)
        {
            return Paint(isOn: choice.isOn(isTerminal: console.output.isTerminal, environment: console.environment))
        }
        return console.paint(arguments)
    }

    /// Prints a note unless `--quiet` is given.
    func note(_ message: Phrase) {
        if !arguments.flag("quiet") { console.note(message) }
    }

    /// Confirms an action on a terminal only. Scripts use the exit code.
    func confirm(_ message: @autoclosure () -> Phrase) {
        guard console.output.isTerminal, !wantsJSON, !arguments.flag("quiet") else { return }
        try? console.errors.writeLine(TerminalText.escaped(message().text))
        try? console.errors.flush()
    }

    // MARK: - Directories and addresses

    func home() throws -> ClientHome {
        if let home = known.home { return home }
        if arguments.value("home")?.isEmpty == true {
            throw arguments.error("--home needs the name of a directory")
        }
        let home = try Context.home(arguments.value("home"), console.environment)
        known.home = home
        return home
    }

    /// - Parameter path: the one that `--home` names.
    static func home(_ path: String?, _ environment: Environment) throws(CommandFailure) -> ClientHome {
        if let path { return ClientHome(path: path) }
        if let path = try environment.path("NATTER_HOME") { return ClientHome(path: path) }
        return .standard(
            data: try environment.dataHome() + "/natter", settings: try environment.configHome() + "/natter")
    }

    /// A setting of the file `config`, which is read once.
    func setting(_ setting: Setting) throws -> String? {
        let settings = try settingsFile()
        // A caller that reads these two passes over an error.
        for one in [Setting.color, .lang] where !arguments.has(one.rawValue) { _ = try one.value(in: settings) }
        return try setting.value(in: settings)
    }

    private func settingsFile() throws -> ConfigFile {
        if let settings = known.settings { return settings }
        let settings = try ifReadable { try home().settingsFile() } ?? ConfigFile(parsing: "", path: "")
        known.settings = settings
        return settings
    }

    /// Passes over a home that may not be read, as in a unit or a job of another user, where the options name all that
    /// is needed of it.
    private func ifReadable<Value>(_ read: () throws -> Value?) throws -> Value? {
        let namesServer = arguments.has("server") || console.environment["NATTER_SERVER"] != nil
        do { return try read() } catch ProfileError.unreadable(let error)
            where error.code == .permissionDenied && tokenFile != nil && namesServer
        {
            return nil
        }
    }

    func profile() throws -> Profile {
        let name = arguments.value("profile") ?? console.environment["NATTER_PROFILE"] ?? Profile.defaultName
        return try home().profile(name)
    }

    /// The server from `--server`, `NATTER_SERVER`, the profile, the setting, or else this machine. A setting never
    /// redirects a session of the profile to another server.
    func address(remembered: String?) throws -> ServerAddress {
        if let url = arguments.value("server") {
            do { return try ServerAddress(url: url) } catch { throw arguments.error("\(error)") }
        }
        if let url = console.environment["NATTER_SERVER"] { return try ServerAddress(url: url) }
        if let remembered { return try ServerAddress(url: remembered) }
        return try ServerAddress(url: try setting(.server) ?? Context.defaultServer)
    }

    /// The server of an account. A token from a file goes where the profile goes, unless they belong to different stores.
    func address(of account: Account) throws -> ServerAddress {
        guard tokenFile != nil, let own = try? profile().account(), own.store == nil || own.store == account.store
        else {
            return try address(remembered: account.server)
        }
        return try address(remembered: own.server)
    }

    // MARK: - Accounts

    /// An account with a session, its server and its token.
    struct Login {
        var account: Account
        var token: Token
    }

    /// The file of a token that replaces the profile's.
    fileprivate var tokenPath: String? { arguments.value("token-file") ?? console.environment["NATTER_TOKEN_FILE"] }

    private static let tokenVariable = "NATTER_TOKEN"

    /// The file or variable with a token that replaces the profile's.
    var tokenFile: String? {
        tokenPath ?? (console.environment[Context.tokenVariable] == nil ? nil : Context.tokenVariable)
    }

    /// The token that replaces the profile's; nil if none is given. It is read once, because it may come from a pipe.
    fileprivate func givenToken() throws -> Token? {
        if let token = known.token { return token }
        if let tokenPath {
            let (token, isExposed) = try Profile.token(fromFile: tokenPath)
            if isExposed { note("other users can read or change the token file '\(tokenPath)'") }
            known.token = token
        } else if let text = console.environment[Context.tokenVariable] {
            known.token = try Profile.token(text.utf8, from: Context.tokenVariable)
        }
        return known.token
    }

    /// The variables with which a program that this command runs uses the same token.
    func tokenVariables() throws -> [(name: String, value: String?)] {
        guard let tokenPath else { return [] }
        var status = stat()
        let isFile = stat(tokenPath, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        if isFile, !tokenPath.hasPrefix("/dev/") { return [("NATTER_TOKEN_FILE", Path.absolute(tokenPath))] }
        // A pipe gives its token only once.
        return [("NATTER_TOKEN_FILE", nil), (Context.tokenVariable, try givenToken()?.text)]
    }

    /// The session of the profile or of `--token-file`. The account's name may be unknown.
    func login() throws -> Login {
        try checkOptions()
        if let token = try givenToken() {
            let home = try home()
            if let account = home.tokenAccount(token).load() { return Login(account: account, token: token) }
            let remembered = try ifReadable { try profile().account()?.server }
            let server = try remembered ?? setting(.server) ?? Context.defaultServer
            return Login(account: Account(server: server, name: nil, store: nil), token: token)
        }
        let (account, token) = try ofProfile { try $0.credentials() }
        return Login(account: account, token: token)
    }

    /// Reads the session of the profile. If there is no such profile but others, the error names them, because logging in
    /// again would be the wrong remedy for a mistyped name.
    private func ofProfile<Result>(_ read: (Profile) throws -> Result) throws -> Result {
        let profile = try profile()
        do { return try read(profile) } catch ProfileError.notLoggedIn(let name) {
            let others = try home().profileNames()
            guard !others.isEmpty, !others.contains(name) else { throw ProfileError.notLoggedIn(profile: name) }
            let isDefault = name == Profile.defaultName
            let nearest = isDefault ? nil : NearestWords.remedy(for: name, among: others)
            throw CommandFailure(
                .refused, code: "not_logged_in",
                isDefault
                    ? "not logged in; choose one of your profiles with --profile NAME"
                    : "there is no profile '\(name)'",
                remedy: nearest ?? "'natter profile' lists them")
        }
    }

    /// Notes whose the token of a file is.
    func remember(_ answer: WhoamiAnswer, of token: Token, _ api: ServerAPI) throws -> Account {
        var account = Account(server: api.address.description, name: answer.name, store: api.store)
        account.scope = answer.scope
        return try home().tokenAccount(token).store(account)
    }

    /// The account whose replica to use. `--offline` needs no token, because it makes no request.
    func offlineAccount() throws -> Account {
        try checkOptions()
        guard tokenFile == nil else { return try login().account }
        return try ofProfile { try $0.loggedIn() }
    }

    /// Checks options first, so that invalid ones are reported before a missing session.
    private func checkOptions() throws {
        _ = try arguments.seconds("timeout", in: Setting.timeoutSeconds)
        if arguments.has("server") { _ = try address(remembered: nil) }
    }

    /// A setting of the profile. A profile that cannot be read has none.
    private func profileSetting(_ name: String, _ account: Account?) -> String? {
        if let value = account?.settings[name] { return value }
        // As with the server, a token from a file is used with the profile unless they belong to different stores.
        guard account == nil || tokenFile != nil, let own = try? profile().account(),
            account?.store == nil || own.store == nil || own.store == account?.store
        else { return nil }
        return own.settings[name]
    }

    // MARK: - Requests

    /// Refuses `--offline` in a command that can't do without the server.
    func refuseOffline() throws(CommandFailure) {
        guard isOffline else { return }
        throw CommandFailure(
            .unavailable, code: "offline",
            "'\(arguments.path.joined(separator: " "))' needs the server; leave out --offline")
    }

    /// The API at an address, with or without a token.
    ///
    /// - Parameters:
    ///   - isSecret: whether a password or a token will be sent.
    ///   - isOther: whether this is another server than the command is about, so that `--ca-file` is not for it.
    ///   - fingerprint: of the only certificate to trust; nil for the profile's, if it has one.
    ///   - timeoutMilliseconds: nil for the usual timeout.
    func api(
        at address: ServerAddress, token: Token?, of account: Account? = nil, isSecret: Bool = true,
        isOther: Bool = false, fingerprint: CertificateFingerprint? = nil, timeoutMilliseconds: Int? = nil
    ) throws -> ServerAPI {
        try refuseOffline()
        if isSecret, address.scheme == .http, !address.isLoopback, !arguments.flag("insecure") {
            throw CommandFailure(
                .refused, code: "insecure",
                "plain HTTP to '\(address)' would show passwords and tokens to the network; use https, or allow it "
                    + "with --insecure")
        }
        let fingerprint = try fingerprint ?? self.fingerprint(profileSetting("fingerprint", account))
        if let fingerprint, address.scheme == .http {
            throw CommandFailure(
                .unavailable, code: "certificate",
                "'\(address)' has no certificate, and this profile trusts only \("\(fingerprint)")",
                remedy: "name an address that begins with https://")
        }
        let client = HTTPClient(
            address: address, timeoutMilliseconds: try timeoutMilliseconds ?? self.timeoutMilliseconds(),
            caFile: try (isOther ? nil : arguments.value("ca-file")) ?? profileSetting("ca-file", account)
                ?? setting(.caFile),
            fingerprint: fingerprint, userAgent: "natter/\(NatterProgram.version)", ownsOpenSSL: true)
        let isNew = account.map { $0.server != address.description } ?? false
        let api = ServerAPI(
            address: address, client: client, token: token, tokenStore: account?.store, isNewAddress: isNew,
            onTokenStore: tokenFile == nil ? nil : { remember(token, $0, at: address) },
            onTrace: arguments.flag("verbose") ? { report($0, to: address) } : nil)
        if token != nil { api.tokenFile = tokenFile }
        api.onChange = noteChange
        return api
    }

    /// - Throws: 64 for a word that is no fingerprint.
    func fingerprint(_ word: String?) throws(UsageError) -> CertificateFingerprint? {
        guard let word else { return nil }
        if let fingerprint = CertificateFingerprint(word) { return fingerprint }
        throw arguments.error("a fingerprint is 'sha256:' and 64 hexadecimal digits, not '\(word)'")
    }

    /// Keeps where a token from a file belongs, so that no other server gets it. If that fails, the next command tries again.
    private func remember(_ token: Token?, _ store: StoreID, at address: ServerAddress) {
        guard let token, let home = try? home() else { return }
        _ = try? home.tokenAccount(token).store(Account(server: address.description, name: nil, store: store))
    }

    private func report(_ trace: ServerAPI.Trace, to address: ServerAddress) {
        let request = "\(trace.method.rawValue) \(address)\(trace.path)"
        let cost: Phrase =
            "\(trace.milliseconds) ms, \(trace.bytesOut) bytes sent, \(trace.bytesIn) received"
        if let status = trace.status {
            console.note("\(request): \(status) in \(cost)")
        } else {
            console.note("\(request): no answer in \(cost)")
        }
    }

    /// The API with the session of the profile or of `--token-file`.
    ///
    /// - Parameter deliveringOutbox: whether to send the outbox first, for a few seconds at most.
    func api(deliveringOutbox: Bool = true) throws -> ServerAPI {
        let login = try login()
        let api = try api(of: login)
        if deliveringOutbox { deliverOutbox(of: login, to: api) }
        return api
    }

    func api(of login: Login) throws -> ServerAPI {
        try api(at: try address(of: login.account), token: login.token, of: login.account)
    }
}

extension Context {
    /// The text of a message: words of the command line, or standard input.
    func text(_ words: [String], reading descriptor: Int32 = STDIN_FILENO) throws -> String {
        guard !words.isEmpty, words != ["-"] else { return try readMessage(descriptor: descriptor) }
        if StandardInput.hasUnread(descriptor) { note("standard input was not used; without TEXT, it is the message") }
        return words.joined(by: " ")
    }

    /// A terminal's longest line without its newline, as termios(3) says. The system drops the rest.
    private static let terminalLineBytes = 4_095

    /// Reads a message that the user types, or that a pipe has.
    func readMessage(descriptor: Int32 = STDIN_FILENO) throws(CommandFailure) -> String {
        guard Terminal.isTerminal(descriptor) else { return try StandardInput.message(descriptor: descriptor) }
        note("type the message, then press Ctrl-D")
        let text = try StandardInput.message(descriptor: descriptor)
        let lines = text.utf8.split(separator: UInt8(ascii: "\n"))
        guard !lines.contains(where: { $0.count >= Context.terminalLineBytes }) else {
            throw CommandFailure(
                .invalidData, code: "bad_text",
                "a terminal cuts lines at \(Context.terminalLineBytes) bytes; nothing was sent; read the text from a file"
            )
        }
        return text
    }
}
