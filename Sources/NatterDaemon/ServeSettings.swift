internal import NatterCommandLine
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem

/// The settings of `serve`, from the command line and `DIR/natterd.conf`.
struct ServeSettings: Equatable {
    static let configurationName = "natterd.conf"
    private static let configurationLimit = 64 << 10
    /// The interface promises at least 30 days. The maximum is ten years.
    private static let retentionDays: ClosedRange<Int64> = 30...3_650

    var listen = ListenAddress.standard
    var log = EventLog.Settings()
    var retentionDays = 30
    var registration = ChatServer.Registration.open
    /// Addresses whose `X-Forwarded-For` is trusted.
    var proxies: Set<PeerAddress> = []
    var servesPage = true
    /// Names by which clients may call the server.
    var hosts: [SubjectName] = []
    /// The limits of each account.
    var limits = AccountLimits()
    var files = FileLimits()
    /// After how many days deleted messages are erased; nil for never.
    var eraseDeletedDays: Int? = 30
    /// How many days files are kept; nil for as long as their messages.
    var fileRetainDays: Int?
    /// How long messages are kept at most.
    var retention = Retention.forever
    /// The certificate, or nil for plain HTTP.
    var tls: CertificateFiles?

    struct CertificateFiles: Equatable {
        var certificate: String
        var key: String
        /// The lines of the settings file that name them.
        var entries: [ConfigFile.Entry] = []

        /// The failure to use one of the files, with the line that names it.
        func failure(_ error: TLSError, in directory: String) -> CommandFailure {
            let failure = error.failure
            let name = error.path == certificate ? "tls-cert" : error.path == key ? "tls-key" : nil
            guard let entry = entries.last(where: { $0.key == name }) else { return failure }
            let place = ConfigError(
                path: "\(directory)/\(configurationName)", line: entry.line, problem: failure.message)
            return failure.saying(place.phrase)
        }
    }

    /// - Throws: `UsageError` for the command line, `ConfigError` for the file, `CommandFailure` 78 for an address that
    ///   would expose passwords.
    init(_ arguments: Arguments, directory: String) throws {
        let file = try ServeSettings.file(in: directory)
        let filled = try ServeSettings.filled(arguments, file)
        do throws(UsageError) {
            try read(filled)
            tls = try ServeSettings.certificate(filled, given: arguments, directory: directory)
        } catch {
            throw ServeSettings.place(of: error, in: file, arguments, directory: directory)
        }
        tls?.entries = file?.entries.filter { !arguments.has($0.key) } ?? []
        guard listen.isLoopback || tls != nil || !proxies.isEmpty else {
            throw CommandFailure(
                .configuration, code: "not_loopback",
                "other machines can reach '\(listen.host)', and passwords would cross the network unencrypted; give a "
                    + "certificate with --tls-cert and --tls-key ('natterd tls-self-signed' makes one), name a proxy "
                    + "that speaks TLS with --behind-proxy, or listen on 127.0.0.1 or [::1]")
        }
    }

    private init() {}

    /// The settings of the file, for a command that opens the store while no server runs. Settings of a server alone, such as
    /// its certificate, are not checked, because the command line of 'serve' may add to them.
    static func ofStore(in directory: String) throws -> ServeSettings {
        var settings = ServeSettings()
        guard let file = try file(in: directory),
            case .run(_, let arguments) = try ArgumentParser.parse(["serve"], for: DaemonProgram.spec)
        else { return settings }
        let filled = try filled(arguments, file)
        do throws(UsageError) { try settings.read(filled) } catch {
            throw place(of: error, in: file, arguments, directory: directory)
        }
        return settings
    }

    /// The error with the line of the file that is wrong; the error itself if it is in the command line, which overrides the
    /// file.
    private static func place(
        of error: UsageError, in file: ConfigFile?, _ arguments: Arguments, directory: String
    ) -> any Error {
        guard let file else { return error }
        var alone = ServeSettings()
        do throws(UsageError) {
            try alone.read(arguments)
            _ = try certificate(arguments, given: arguments, directory: directory)
        } catch {
            return error
        }
        // The last of several lines with the same key counts.
        let entries = file.entries.filter { entry in file.entries.last { $0.key == entry.key } == entry }
        for entry in entries {
            guard let filled = try? arguments.filled(from: file.only(entry)) else { continue }
            do throws(UsageError) { try alone.read(filled) } catch { return file.error(entry, error.message) }
        }
        // The only error left is a certificate without its key, or a key without its certificate.
        guard let entry = entries.last(where: { $0.key == "tls-cert" || $0.key == "tls-key" }) else { return error }
        return file.error(entry, error.message)
    }

    /// The names of options that differ from `other` and take effect only at the next start.
    func namesOfFixed(differingFrom other: ServeSettings) -> [String] {
        var names: [String] = []
        if listen != other.listen { names.append("listen") }
        if retentionDays != other.retentionDays { names.append("id-retention") }
        if proxies != other.proxies { names.append("behind-proxy") }
        if servesPage != other.servesPage { names.append("no-web") }
        // A certificate can be replaced while the server runs, but TLS can't be switched on or off.
        if (tls == nil) != (other.tls == nil) { names += ["tls-cert", "tls-key"] }
        return names
    }

    private mutating func read(_ filled: Arguments) throws(UsageError) {
        if let text = filled.value("listen") {
            guard let address = ListenAddress(text) else {
                throw filled.error("--listen takes ADDR:PORT, such as 127.0.0.1:7117 or [::1]:7117, not '\(text)'")
            }
            listen = address
        }
        if let name = filled.value("log-level"), let level = Event.Level(name: name) { log.level = level }
        if let name = filled.value("log-format"), let format = EventLog.Format(rawValue: name) { log.format = format }
        if let name = filled.value("registration"), let known = ChatServer.Registration(rawValue: name) {
            registration = known
        }
        if let list = filled.value("behind-proxy") {
            proxies = try Set(
                list.split(separator: ",", omittingEmptySubsequences: false).map { part throws(UsageError) in
                    let text = String(part.withoutBlanks)
                    guard let address = PeerAddress(text) else {
                        throw filled.error(
                            "--behind-proxy takes numeric addresses, such as 127.0.0.1,2001:db8::1, not '\(text)'")
                    }
                    return address
                })
        }
        if let list = filled.value("host") {
            hosts = try list.split(separator: ",", omittingEmptySubsequences: false).map { part throws(UsageError) in
                let text = String(part.withoutBlanks)
                guard let name = SubjectName(text) else {
                    throw filled.error(
                        "--host takes host names without a port, such as chat.example.org,chat, not '\(text)'")
                }
                return name
            }
        }
        servesPage = !filled.flag("no-web")
        if let days = try filled.integer("id-retention", in: ServeSettings.retentionDays) { retentionDays = Int(days) }
        if let text = filled.value("retain") {
            guard let known = Retention(text) else {
                throw filled.error("--retain takes days, such as '365d', or 'forever', not '\(text)'")
            }
            retention = known
        }
        for (name, field) in ServeSettings.fileOptions {
            guard let text = filled.value(name) else { continue }
            files[keyPath: field] = text == "none" ? nil : ByteCount.read(text)
            guard text == "none" || files[keyPath: field] != nil else {
                throw filled.error("--\(name) takes a size, such as '25M', or 'none', not '\(text)'")
            }
        }
        for (name, field, range) in ServeSettings.limitOptions {
            if let limit = try filled.integer(name, in: range) { limits[keyPath: field] = Int(clamping: limit) }
        }
        if let text = filled.value("erase-deleted") {
            eraseDeletedDays = text == "0" ? 0 : Retention(text)?.days
            guard eraseDeletedDays != nil || text == "never" else {
                throw filled.error("--erase-deleted takes days, such as '30d', '0' or 'never', not '\(text)'")
            }
        }
        if let text = filled.value("file-retain") {
            fileRetainDays = Retention(text)?.days
            guard fileRetainDays != nil || text == "none" else {
                throw filled.error("--file-retain takes days, such as '90d', or 'none', not '\(text)'")
            }
        }
        if let text = filled.value("session-idle") {
            limits.sessionIdleDays = Retention(text)?.days
            guard limits.sessionIdleDays != nil || text == "never" else {
                throw filled.error("--session-idle takes days, such as '90d', or 'never', not '\(text)'")
            }
        }
    }

    private static var fileOptions: [(name: String, field: WritableKeyPath<FileLimits, UInt64?>)] {
        [("file-size", \.fileBytes), ("files-per-user", \.accountBytes), ("files-total", \.totalBytes)]
    }

    /// The largest message must fit into the bytes of a day.
    private static var limitOptions:
        [(name: String, field: WritableKeyPath<AccountLimits, Int?>, range: ClosedRange<Int64>)]
    {
        let counts: ClosedRange<Int64> = 1...1_000_000_000
        let bytes = Int64(Limits.textBytes.upperBound)...1_000_000_000_000_000
        return [
            ("max-tokens", \.tokens, counts), ("max-sessions", \.sessions, counts), ("max-groups", \.groups, counts),
            ("max-groups-by-others", \.groupsByOthers, counts), ("max-groups-by-one", \.groupsByOne, counts),
            ("max-members-per-day", \.membersPerDay, counts),
            ("messages-per-minute", \.messagesPerMinute, counts), ("bytes-per-day", \.bytesPerDay, bytes),
            ("requests-per-second", \.requestsPerSecond, counts),
        ]
    }

    /// Paths in the file are relative to the data directory, where the file is. Paths on the command line are relative
    /// to the current directory.
    private static func certificate(
        _ filled: Arguments, given: Arguments, directory: String
    ) throws(UsageError) -> CertificateFiles? {
        func path(_ name: String) -> String? {
            guard let path = filled.value(name) else { return nil }
            return path.hasPrefix("/") || given.has(name) ? path : "\(directory)/\(path)"
        }
        switch (path("tls-cert"), path("tls-key")) {
        case (let certificate?, let key?): return CertificateFiles(certificate: certificate, key: key)
        case (nil, nil): return nil
        case (let certificate?, nil):
            throw filled.error("--tls-cert '\(certificate)' needs --tls-key, too: the key of that certificate")
        case (nil, let key?):
            throw filled.error("--tls-key '\(key)' needs --tls-cert, too: the certificate of that key")
        }
    }

    private static func filled(_ arguments: Arguments, _ file: ConfigFile?) throws(ConfigError) -> Arguments {
        guard let file else { return arguments }
        if let entry = file.entries.first(where: { $0.key == "data" }) {
            throw file.error(entry, "'data' can't be set to '\(entry.value)' here, in the data directory itself")
        }
        return try arguments.filled(from: file)
    }

    /// The file of settings in a data directory; nil if there is none.
    ///
    /// - Parameter skipsMalformed: whether what is no setting is passed over. Where the store is must be known even then.
    static func file(in directory: String, skipsMalformed: Bool = false) throws -> ConfigFile? {
        let path = directory + "/" + configurationName
        let disk = PosixDisk()
        guard let found = try disk.information(path) else { return nil }
        let bytes: [UInt8]
        do throws(DiskError) { bytes = try disk.contents(of: path, limit: configurationLimit) } catch {
            if error.code == .tooManySymbolicLinkLevels {
                throw CommandFailure(
                    unreadable: error.code,
                    "'\(path)' is a symbolic link, which natterd does not follow; put the file itself there")
            }
            guard found.isRegular else {
                throw CommandFailure(
                    unreadable: error.code,
                    "'\(path)' is not a regular file; put the settings of natterd there, or remove it")
            }
            throw CommandFailure(unreadable: error)
        }
        let text = skipsMalformed ? String(decoding: bytes, as: UTF8.self) : String(validating: bytes, as: UTF8.self)
        guard let text else {
            throw CommandFailure(.configuration, code: "bad_configuration", "'\(path)' is not UTF-8")
        }
        return try ConfigFile(parsing: text, path: path, skipsMalformed: skipsMalformed)
    }
}

/// The address to listen on: `127.0.0.1:7117`, `[::1]:7117`, `localhost:0`.
struct ListenAddress: Equatable, CustomStringConvertible {
    static let standard = ListenAddress(host: "127.0.0.1", port: 7_117)

    /// The host without brackets.
    let host: String
    /// The port, or 0 for any free port.
    let port: UInt16

    init(host: String, port: UInt16) { (self.host, self.port) = (host, port) }

    /// Returns nil if the text has no such form. Whether the host is an address is checked when the socket is created.
    init?(_ text: String) {
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return nil }
        let digits = text[text.index(after: colon)...]
        guard (1...5).contains(digits.utf8.count), let port = UInt16(digits: digits) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.utf8.contains(UInt8(ascii: ":")) {
            // Without brackets, the port can't be told from the last part of an IPv6 address.
            return nil
        }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host), port: port)
    }

    /// True if only this machine can reach the address.
    var isLoopback: Bool {
        if host == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8(digits: $0) != nil }
    }

    func with(port: UInt16) -> ListenAddress { ListenAddress(host: host, port: port) }

    var description: String { host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
