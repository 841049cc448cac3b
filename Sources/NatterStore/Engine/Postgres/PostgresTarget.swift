internal import CPostgres
internal import Glibc
public import NatterModel

/// Where a database is: a URI or a connection string of libpq. Everything else comes from libpq's own means: the
/// environment, the service file, the password file.
public struct PostgresTarget: Sendable, Equatable {
    /// The URI, without a password.
    public let text: String
    /// Settings that the text and the environment leave open.
    let settings: [String: String]

    /// A text that names no database.
    public struct Malformed: Error, PhraseConvertible {
        public let phrase: Phrase
    }

    private static let hasPassword = Malformed(
        phrase:
            "the URI of the database has a password, which others could see; put it into ~/.pgpass or a service file"
    )

    /// - Throws: `Malformed`, also if the text contains a password, because a list of processes would show it.
    public init(_ text: String) throws(Malformed) {
        guard text.hasPrefix("postgresql://") || text.hasPrefix("postgres://") else {
            throw Malformed(phrase: "a database is named by a URI such as postgresql://db.example.org/natter")
        }
        var reason: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(text, &reason) else {
            defer { PQfreemem(reason) }
            let words = reason.map { PostgresTarget.line(String(cString: $0)) } ?? "out of memory"
            // libpq repeats the part that it can't read.
            guard !PostgresTarget.mayHavePassword(text) else { throw PostgresTarget.hasPassword }
            throw Malformed(phrase: "the URI of the database is malformed: \(words)")
        }
        defer { PQconninfoFree(options) }
        var given: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { given[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        guard given["password"] == nil, given["sslpassword"] == nil else { throw PostgresTarget.hasPassword }
        func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        var settings = ["fallback_application_name": "natterd", "client_encoding": "UTF8"]
        func set(_ keyword: String, _ value: String, unless variable: String? = nil) {
            if given[keyword] == nil, variable.flatMap(environment) == nil { settings[keyword] = value }
        }
        set("connect_timeout", "5", unless: "PGCONNECT_TIMEOUT")
        set("keepalives_idle", "10")
        set("tcp_user_timeout", "10000")
        // Beside a service, too, whose hosts may begin with a standby: natterd can work on nothing else.
        set("target_session_attrs", "read-write", unless: "PGTARGETSESSIONATTRS")
        let isService = given["service"] != nil || environment("PGSERVICE") != nil
        if !isService {
            // An address decides where the connection goes, whatever the host's name.
            let hosts =
                given["hostaddr"] ?? environment("PGHOSTADDR") ?? given["host"] ?? environment("PGHOST") ?? ""
            if !hosts.split(separator: ",").allSatisfy({ PostgresTarget.isLocal(String($0)) }) {
                set("sslmode", "verify-full", unless: "PGSSLMODE")
            }
        }
        (self.text, self.settings) = (text, settings)
    }

    private static func mayHavePassword(_ text: String) -> Bool {
        let user = text.lastIndex(of: "@").map { text[..<$0].drop { $0 != "/" } } ?? ""
        return user.contains(":") || text.contains("password")
    }

    private static func isLocal(_ host: String) -> Bool {
        host.isEmpty || host.hasPrefix("/") || host.hasPrefix("@") || host == "localhost" || host == "::1"
            // A name may begin so, too.
            || (host.hasPrefix("127.") && host.utf8.allSatisfy { $0 == UInt8(ascii: ".") || (48...57).contains($0) })
    }

    /// A message of libpq on one line.
    static func line(_ message: String) -> String {
        message.split(separator: "\n").map { $0.withoutBlanks }.filter { !$0.isEmpty }.joined(separator: "; ")
    }
}
