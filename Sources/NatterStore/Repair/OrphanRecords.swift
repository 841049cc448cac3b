internal import NatterArchive
internal import NatterCrypto
internal import NatterLog
internal import NatterModel
internal import NatterSQLite

/// Records of the journal whose conversation has lost its row, which alone tells what the number in the journal means.
struct OrphanRecords {
    /// The number of `general`, the first conversation of a store. A repair gives it to no other.
    private static let general: Int64 = 1

    private let journal: JournalContents
    private let survey: LogSurvey
    private let store: StoreID
    /// The numbers whose conversation was not found yet.
    private var numbers: Set<Int64>
    /// The conversations without a row.
    let ids: Set<ConversationID>

    init(_ journal: JournalContents, _ survey: LogSurvey, _ store: StoreID, known: [ConversationIdentity]) {
        (self.journal, self.survey, self.store) = (journal, survey, store)
        numbers = Set(journal.records.keys).subtracting(known.map(\.number))
        var ids = survey.conversations
        if numbers.contains(OrphanRecords.general) { ids.insert(OrphanRecords.generalID(of: store)) }
        self.ids = ids.subtracting(known.map(\.id))
    }

    static func generalID(of store: StoreID) -> ConversationID {
        .derived(store: store, kind: .general, users: [])
    }

    /// The number under which the journal has messages of a conversation, if that is certain: a guess could show a private
    /// message to others. So its log must have some of them, too, and the same.
    mutating func take(_ id: ConversationID) -> Int64? {
        let found =
            id == OrphanRecords.generalID(of: store)
            ? numbers.filter { $0 == OrphanRecords.general } : numbers.filter { isIn(id, $0) }
        guard found.count == 1, let number = found.first else { return nil }
        numbers.remove(number)
        return number
    }

    private func isIn(_ id: ConversationID, _ number: Int64) -> Bool {
        var isFound = false
        for block in survey.blocks[id] ?? [] {
            let acknowledged = journal.records(of: number, block.header.seqs)
            if acknowledged.isEmpty { continue }
            guard survey.agrees(block, with: acknowledged) else { return false }
            isFound = true
        }
        return isFound
    }

    /// Makes a private group of each number that is left. The rows of its members name it by its number, so they read it
    /// again; nobody else does.
    func adopt(_ people: RebuiltPeople) throws(SQLiteError) -> [CheckedConversation] {
        var random = SecureRandom()
        var adopted: [CheckedConversation] = []
        for number in numbers.sorted() {
            guard let records = journal.records[number], let first = records.first?.seq else { continue }
            let id = ConversationID(using: &random)
            let identity = try people.conversation(
                id,
                RebuiltPeople.Origin(
                    kind: .group, name: "recovered-\(id.description.prefix(8))", users: [], history: GroupHistory([])),
                as: number)
            adopted.append(
                CheckedConversation(
                    identity: identity, first: first, sealedSeq: first.previous, sealedHash: HashChain.start(of: id),
                    sealedCommit: .zero))
        }
        return adopted
    }
}
