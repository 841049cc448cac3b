package import NatterSystem
internal import NatterModel
package import NatterStore
internal import StoreSupport
package import SystemSupport
internal import TestSupport

/// A seeded run of a server's store and of a client that syncs from it, each on a simulated disk. It registers users,
/// posts in several conversations, changes groups and read marks, seals, tidies, checkpoints, indexes and restarts. It
/// records the promises for `StoreJudge`.
///
/// The seed decides all steps and their order. Ids and secrets are still random numbers of the operating system. They
/// are in the files, but no step depends on them.
package final class StoreRun {
    package let seed: UInt64
    package let disk: SimulatedDisk
    package let clock: TestClock
    package private(set) var driver: StoreDriver
    package let promises = Monitor(Promises())
    package let client: ClientRun
    var generator: SeededGenerator
    private let keepsSearchIndex: Bool
    private var names: [String] = []
    private var tokens: [String: Token] = [:]
    private var groups: [(name: String, members: Set<String>)] = []
    private var sendingCount = 0
    var retentionCount = 0
    private var registrationCount = 0
    /// The refusals of the store because of a full disk or a disk error.
    package internal(set) var refusals: [StoreError] = []
    /// Whether to skip refused steps. Then the store is not restarted between steps.
    package var goesOnRefused = false
    private let hasClient: Bool
    /// Whether messages are also edited, deleted, erased and dropped.
    package let removes: Bool

    package init(seed: UInt64, keepsSearchIndex: Bool = false, hasClient: Bool = true, removes: Bool = false) throws {
        (self.seed, self.keepsSearchIndex, self.hasClient) = (seed, keepsSearchIndex, hasClient)
        self.removes = removes
        generator = SeededGenerator(seed: seed)
        clock = TestClock(stepMilliseconds: 1)
        disk = SimulatedDisk(clock: clock)
        driver = try StoreDriver(disk, clock: clock, keepsSearchIndex: keepsSearchIndex)
        client = ClientRun(store: driver.store.id, clock: clock)
        for name in ["alice", "bob"] { try register(name) }
    }

    package func token(_ name: String) throws -> Token {
        guard let token = tokens[name] else { throw Violation("nobody is called \(name)") }
        return token
    }

    func promise(_ change: @Sendable (inout Promises, Int) -> Void) {
        let count = disk.operationCount
        promises.withLock { change(&$0, count) }
    }

    // MARK: Steps

    /// Runs steps chosen by the seed.
    package func run(steps: Int) throws {
        for _ in 0..<steps { try step() }
    }

    private func step() throws {
        do { try choose() } catch let violation as Violation { throw violation } catch {
            guard goesOnRefused else { throw error }
            if let refusal = error as? StoreError { refusals.append(refusal) }
        }
        settle()
    }

    private func choose() throws {
        if removes, Int.random(in: 0..<5, using: &generator) == 0 { return try remove() }
        switch Int.random(in: 0..<100, using: &generator) {
        case 0..<45: try post(count: 1)
        case 45..<58: try post(count: Int.random(in: 2...6, using: &generator))
        case 58..<61: try postLong()
        case 61..<66: try repeatEarlier()
        case 66..<76: try seal()
        case 76..<81: try markRead()
        case 81..<84: try changeGroup()
        case 84..<86: try register("user\(registrationCount)")
        case 86..<87: try importSome()
        case 87..<96: if hasClient { try sync() }
        case 96..<98: if hasClient { _ = try client.index() }
        default: if !goesOnRefused { try restart() }
        }
    }

    package func register(_ name: String) throws {
        registrationCount += 1
        let token = try driver.register(name)
        names.append(name)
        tokens[name] = token
        promise { $0.sessions.append(.init(operations: $1, value: (name, token))) }
    }

    /// - Parameter edited: the message that it edits.
    func newSending(by sender: String, _ text: String = "", edited: Message? = nil) -> Sending {
        var conversations = ["general", "general", "@alice", "@bob"]
        conversations += groups.filter { $0.members.contains(sender) }.map(\.name)
        sendingCount += 1
        return Sending(
            sender: sender,
            conversation: edited?.conversation ?? conversations.randomElement(using: &generator) ?? "general",
            text: "message \(sendingCount) of \(sender) \(text)\(ownWord)", key: "key-\(seed)-\(sendingCount)",
            edited: edited?.seq)
    }

    /// A word that only the newest text has. It is searched for in all files once the text is erased.
    private var ownWord: String {
        guard removes else { return "" }
        var words = SeededGenerator(seed: seed &* 1_000_003 &+ UInt64(sendingCount))
        return " " + String(words.next(), radix: 36)
    }

    private func post(count: Int) throws {
        let sender = names.randomElement(using: &generator) ?? "alice"
        try send((0..<count).map { _ in newSending(by: sender) })
    }

    /// Posts a text so long that its conversation becomes ready for sealing from time to time.
    private func postLong() throws {
        let words = (0..<Int.random(in: 500...3_000, using: &generator)).map { _ in
            String(UInt16.random(in: 0 ... .max, using: &generator), radix: 36)
        }
        try send([newSending(by: "alice", words.joined(separator: " "))])
    }

    func send(_ sendings: [Sending]) throws {
        guard let sender = sendings.first?.sender else { return }
        promise { promises, count in
            promises.sendings += sendings.map { .init(operations: count, value: $0) }
        }
        let principal = try driver.principal(try token(sender))
        let outcomes: [PostOutcome] = answer { done in
            driver.store.post(sendings.map(\.message), by: principal, stopAtRefusal: false) {
                [disk, promises] outcomes in
                // Count on the store's own thread, so that its later operations do not count as earlier ones.
                let count = disk.operationCount
                promises.withLock { promises in
                    promises.messages += outcomes.compactMap(\.message).map { .init(operations: count, value: $0) }
                }
                done(outcomes)
            }
        }
        refusals += outcomes.compactMap(\.refusal).filter { !($0.isAboutTheMessage && removes) }
    }

    /// Imports messages of a sender without an account.
    package func importSome() throws {
        let importer = try StoreImporter(into: "general", of: driver.store)
        let texts = (0..<Int.random(in: 1...4, using: &generator)).map { _ in
            sendingCount += 1
            return "message \(sendingCount), imported\(ownWord)"
        }
        promise { promises, count in
            promises.sendings += texts.map {
                .init(
                    operations: count,
                    value: Sending(sender: "somebody", conversation: "general", text: $0, key: "none"))
            }
        }
        for text in texts {
            try importer.append(time: clock.now(), sender: Array("somebody".utf8), text: Array(text.utf8))
        }
        do { _ = try importer.finish() } catch {
            // The operator learns the cause, not only that the outcome is unknown.
            if case .store(let refusal) = error, !driver.store.isFailed { refusals.append(refusal) }
            return
        }
        let known = Set(texts)
        let made = try driver.messages("general", as: try token("alice")).filter { known.contains($0.text) }
        promise { promises, count in
            promises.messages += made.map { .init(operations: count, value: $0) }
        }
    }

    /// Sends a message again that was sent or refused before.
    private func repeatEarlier() throws {
        guard let earlier = promises.withLock({ $0.sendings.randomElement(using: &generator)?.value }) else { return }
        let known = promises.withLock { $0.messages.first { $0.value.text == earlier.text }?.value }
        guard let token = tokens[earlier.sender] else { return }
        guard let outcome = try driver.post([earlier.message], by: token).first, let message = outcome.message else {
            return
        }
        if message.text == earlier.text {
            promise { $0.messages.append(.init(operations: $1, value: message)) }
        }
        guard let known else { return }
        try demand(
            outcome.isRepeated && outcome.message?.seq == known.seq, "'\(earlier.key)' was taken for a new message")
    }

    private func seal() throws {
        let token = try token("alice")
        let conversation = ["general", "general", "@bob", "@alice"].randomElement(using: &generator) ?? "general"
        _ = try driver.seal(conversation, as: token)
    }

    private func markRead() throws {
        guard let name = names.randomElement(using: &generator) else { return }
        let principal = try driver.principal(try token(name))
        let head = try driver.store.conversation("general", for: principal).head
        guard head > .zero else { return }
        let seq = Seq(UInt64.random(in: 1...head.rawValue, using: &generator))
        let marked = answer { driver.store.markRead(seq, in: "general", for: principal, $0) } as Result<Seq, StoreError>
        guard case .success(let seq) = marked else { return }
        promise { $0.reads.append(.init(operations: $1, value: (name, "general", seq))) }
    }

    private func changeGroup() throws {
        if groups.isEmpty || groups.count < 3 && Bool.random(using: &generator) {
            let name = "group\(groups.count)"
            let principal = try driver.principal(try token("alice"))
            let made = answer { driver.store.createGroup(name, isOpen: false, by: principal, $0) }
            guard case .success = made else { return }
            groups.append((name, ["alice"]))
            return promise { $0.memberships.append(.init(operations: $1, value: ("alice", name, true))) }
        }
        let index = Int.random(in: groups.indices, using: &generator)
        guard let user = names.dropFirst().randomElement(using: &generator) else { return }
        let principal = try driver.principal(try token("alice"))
        let (group, isMember) = (groups[index].name, groups[index].members.contains(user))
        promise { $0.membershipChanges.append(.init(operations: $1, value: (user, group))) }
        if isMember {
            let removed = answer { driver.store.removeMember(user, from: group, by: principal, $0) }
            guard case .success = removed else { return }
            groups[index].members.remove(user)
        } else {
            let added = answer {
                driver.store.putMember(user, in: group, isAdmin: nil, mayAdd: true, by: principal, $0)
            }
            guard case .success = added else { return }
            groups[index].members.insert(user)
        }
        promise { $0.memberships.append(.init(operations: $1, value: (user, group, !isMember))) }
    }

    package func sync() throws {
        guard removes, Bool.random(using: &generator) else {
            return try client.sync(from: driver, as: try token("alice"))
        }
        // An erasure in the middle of a sync
        try client.sync(from: driver, as: try token("alice"), limitBytes: 500) { try erase() }
    }

    /// Restarts after the process has ended, and repeats unanswered requests as their senders would.
    package func startAfterEnd() throws {
        driver.close()
        disk.set(fault: nil)
        (refusals, goesOnRefused) = ([], true)
        driver = try StoreDriver(disk, clock: clock, keepsSearchIndex: keepsSearchIndex)
        let open = promises.withLock { promises in
            let acknowledged = Set(promises.messages.map(\.value.text))
            return promises.sendings.map(\.value).filter { !acknowledged.contains($0.text) }.suffix(3)
        }
        for sending in open {
            guard let token = tokens[sending.sender],
                let message = try driver.post([sending.message], by: token).first?.message,
                message.text == sending.text
            else { continue }
            promise { $0.messages.append(.init(operations: $1, value: message)) }
        }
    }

    /// Stops the server in an orderly way and restarts it.
    package func restart() throws {
        driver.close()
        driver = try StoreDriver(disk, clock: clock, keepsSearchIndex: keepsSearchIndex)
    }

    /// Returns when the sealer is idle, so that the next step does not depend on timing. The writer may checkpoint
    /// after its answer. That is done when the next call returns.
    package func settle() { _ = answer { driver.store.settle($0) } as StoreError? }
}
