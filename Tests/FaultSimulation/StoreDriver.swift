package import NatterSystem
package import NatterModel
package import NatterStore
internal import StoreSupport
package import SystemSupport

/// A store on a disk, with calls that wait for their answer. Users are identified by their tokens.
package final class StoreDriver {
    package static let directory = "/data"

    package let disk: any Disk
    package let clock: TestClock
    package let store: Store
    /// The store's reports, and the reason why it stopped writing.
    package let reports = Monitor<[String]>([])

    /// - Parameter isSmall: sets limits so low that a short run reaches them.
    /// - Throws: the errors of `Store.open`.
    package init(
        _ disk: any Disk, clock: TestClock, isSmall: Bool = true, keepsSearchIndex: Bool = false
    ) throws {
        (self.disk, self.clock) = (disk, clock)
        var options = Store.Options()
        if isSmall { (options.journalBytes, options.checkpointBytes) = (3_000, 30_000) }
        options.keepsSearchIndex = keepsSearchIndex
        options.report = { [reports] line in reports.signal { $0.append(line.english) } }
        options.failed = { [reports] line in reports.signal { $0.append("failed: \(line)") } }
        store = try Store.open(StoreDriver.directory, disk: disk, clock: clock, options: options)
        // The clock of a run jumps by years, which would end every session.
        var limits = AccountLimits()
        limits.sessionIdleDays = nil
        store.use(limits)
    }

    package func register(_ name: String) throws -> Token {
        let token = Token.random()
        _ = try answer {
            store.register(
                UserName(trusted: name), password: PasswordHash(stored: "$none"), invite: nil, session: token, $0)
        }.get()
        return token
    }

    /// - Throws: `Violation` if the token is invalid.
    package func principal(_ token: Token) throws -> Principal {
        guard let principal = store.principal(of: token, address: "127.0.0.1") else {
            throw Violation("a session is lost")
        }
        return principal
    }

    package func post(_ messages: [NewMessage], by token: Token) throws -> [PostOutcome] {
        let principal = try principal(token)
        return answer { store.post(messages, by: principal, stopAtRefusal: false, $0) }
    }

    /// Seals a conversation to its last message. Returns when the sealer is idle.
    package func seal(_ conversation: String, as token: Token) throws -> StoreError? {
        let principal = try principal(token)
        return try answer { try store.seal(conversation, for: principal, $0) }
    }

    /// All messages of a conversation, read page by page.
    package func messages(_ conversation: String, as token: Token, pageSize: Int = 1_000) throws -> [Message] {
        let principal = try principal(token)
        var messages: [Message] = []
        var next = Seq.zero
        while true {
            var query = PageQuery(conversation: conversation, limit: pageSize)
            query.after = next
            let page = try store.messages(query, for: principal)
            messages += page.messages
            next = page.next
            if !page.more { return messages }
        }
    }

    /// Every visible conversation that has had messages.
    package func export(as token: Token) throws -> [String: [Message]] {
        var all: [String: [Message]] = [:]
        for view in try store.conversations(of: principal(token), after: nil, limit: 1_000).conversations
        where view.head > .zero {
            all[view.name] = try messages(view.name, as: token)
        }
        return all
    }

    package func close() { store.close() }
}
