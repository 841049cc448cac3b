internal import NatterCommandLine
internal import NatterSystem
internal import NatterHTTP
internal import NatterModel
internal import NatterProtocol

/// A web address that gets each new message of a conversation, with how far it has come.
struct Hook: Codable, Sendable, Equatable {
    enum Format: String, Codable, CaseIterable, Sendable {
        /// The object of a message, as the HTTP API has it.
        case json
        /// The text alone, as ntfy takes it.
        case ntfy
    }

    /// One attempt to deliver, for `hook log`.
    struct Attempt: Codable, Sendable, Equatable {
        var time: String
        var seq: UInt64
        /// The status of the answer; nil if there was none.
        var status: Int?
        var error: String?
    }

    /// The most attempts that are kept.
    private static let logLimit = 50
    private static let firstPause: Int64 = 1_000
    private static let longestPause: Int64 = 3_600_000
    /// A message that was refused for so long parks its hook.
    private static let patience: Int64 = 86_400_000
    /// More failures are not counted.
    private static let failureLimit = 1_000_000

    var id: String
    var conversation: String
    var conversationID: String
    var url: String
    var secret: String
    var format = Format.json
    var events = false
    var allowPrivate = false
    /// Everything up to here was delivered.
    var seq: UInt64
    /// When the message that waits was refused for the first time, and how often since, in Unix milliseconds.
    var failingSince: Int64?
    var failures = 0
    /// Why nothing is sent any more.
    var parked: String?
    var log: [Attempt] = []

    enum CodingKeys: String, CodingKey {
        case id, conversation, url, secret, format, events, seq, failures, parked, log
        case conversationID = "conversation_id"
        case allowPrivate = "allow_private"
        case failingSince = "failing_since"
    }

    /// Whether all values are what a hook can have. Somebody may have edited the file.
    var isSound: Bool {
        ConversationID(hex: conversationID) != nil && (try? HookAddress(url)) != nil && seq <= UInt64(Int64.max)
            && (0...Hook.failureLimit).contains(failures) && log.count <= Hook.logLimit
            && failingSince.map { Timestamp.range.contains(Timestamp(milliseconds: $0)) } ?? true
    }

    /// Notes that a message was delivered.
    mutating func delivered(_ seq: UInt64, status: Int, at now: Timestamp) {
        self.seq = seq
        (failingSince, failures) = (nil, 0)
        note(Attempt(time: now.rfc3339, seq: seq, status: status))
    }

    /// Notes that a message was refused or did not arrive.
    ///
    /// - Returns: the pause before the next attempt in milliseconds; nil if the hook is parked.
    mutating func failed(_ seq: UInt64, status: Int?, _ reason: String, at now: Timestamp) -> Int64? {
        let since = failingSince ?? now.milliseconds
        failingSince = since
        note(Attempt(time: now.rfc3339, seq: seq, status: status, error: reason))
        guard now.milliseconds - since < Hook.patience else {
            parked = reason
            return nil
        }
        let pause = Hook.firstPause << Int64(min(failures, 12))
        failures = min(failures + 1, Hook.failureLimit)
        return min(pause, Hook.longestPause)
    }

    /// Notes that the log ends before what was delivered, and goes on from its end.
    mutating func rewound(to head: UInt64, _ reason: String, at now: Timestamp) {
        note(Attempt(time: now.rfc3339, seq: seq, error: reason))
        (seq, failingSince, failures) = (head, nil, 0)
    }

    /// Notes that messages do not exist any more, and goes on behind them.
    mutating func passedOver(_ seqs: ClosedRange<UInt64>, at now: Timestamp) {
        let reason = "messages \(seqs.lowerBound) to \(seqs.upperBound) do not exist any more; it goes on behind them"
        note(Attempt(time: now.rfc3339, seq: seqs.upperBound, error: reason))
        (seq, failingSince, failures) = (seqs.upperBound, nil, 0)
    }

    /// Notes why the next message can't be read, or that it can be again.
    ///
    /// - Returns: whether that is news.
    mutating func readable(_ reason: String?, at now: Timestamp) -> Bool {
        guard failingSince == nil else { return false }
        guard let reason else {
            defer { failures = 0 }
            return failures > 0
        }
        guard failures == 0 || log.last?.error != reason else { return false }
        failures = 1
        note(Attempt(time: now.rfc3339, seq: seq + 1, error: reason))
        return true
    }

    private mutating func note(_ attempt: Attempt) {
        log.append(attempt)
        if log.count > Hook.logLimit { log.removeFirst(log.count - Hook.logLimit) }
    }

    /// A name as the value of a header. If it is not ASCII, in encoded words of RFC 2047, which hold whole characters and at most
    /// 75 bytes each.
    private static func header(_ name: String) -> String {
        if name.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) { return name }
        var words: [String] = []
        for scalar in name.unicodeScalars {
            let encoded = UTF8.encode(scalar).map { $0.map { "=" + Hex.encode([$0]).uppercased() }.joined() } ?? ""
            if let last = words.last, last.utf8.count + encoded.utf8.count <= 60 {
                words[words.count - 1] += encoded
            } else {
                words.append(encoded)
            }
        }
        return words.map { "=?UTF-8?Q?\($0)?=" }.joined(separator: " ")
    }

    /// The request for a message. Its signature covers the body.
    func request(_ message: Message, to address: HookAddress) -> HTTPRequest {
        var headers: [(name: String, value: String)] = []
        let body: [UInt8]
        switch format {
        case .json:
            body = WireJSON.encode(MessageObject(message))
            headers.append(("Content-Type", MediaType.json))
        case .ntfy:
            body = Array((message.sender + ": " + message.text).utf8)
            headers.append(("Content-Type", MediaType.text))
            headers.append(("Title", Hook.header(message.conversation)))
        }
        headers.append(("Natter-Hook", id))
        // Each attempt has the same value, so that a receiver can tell that it has the message. After a restore, other messages
        // get the numbers again, but not the hashes.
        headers.append(("Natter-Delivery", "\(conversationID)-\(message.seq)-\(Hex.encode(message.cursor.hashPrefix))"))
        headers.append(("Natter-Signature", "sha256=" + Hex.encode(HMAC(key: Array(secret.utf8)).sha256(body))))
        return HTTPRequest(.post, address.target, headers: headers, body: body)
    }
}

/// Where a hook sends to: `https://HOST/PATH?QUERY`.
struct HookAddress {
    let server: ServerAddress
    /// The path and the query.
    let target: String

    /// - Throws: 65 for anything that is no such address.
    init(_ url: String) throws(CommandFailure) {
        let bytes = Array(url.utf8)
        let start = url.firstRange(of: "://").map { url[..<$0.upperBound].utf8.count } ?? 0
        let end = bytes[start...].firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? bytes.count
        do throws(AddressError) {
            server = try ServerAddress(url: String(decoding: bytes[..<end], as: UTF8.self))
        } catch {
            throw CommandFailure(
                .invalidData, code: "bad_address",
                "the hook's address '\(url)' is not valid; give it as 'http://HOST:PORT/PATH' or 'https://HOST/PATH'")
        }
        let rest = String(decoding: bytes[end...], as: UTF8.self)
        target = rest.hasPrefix("/") ? rest : "/" + rest
        guard HTTPRequest.isTarget(target) else {
            throw CommandFailure(
                .invalidData, code: "bad_address", "the path in '\(url)' is not percent-encoded, or it has a fragment")
        }
    }
}
