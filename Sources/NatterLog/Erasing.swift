public import NatterSystem
public import NatterModel

extension Record {
    /// The message without text, sender, label and time of writing. Its H stays, so that the hash chain does too.
    public var erased: Record {
        Record(
            seq: seq, time: time, sender: [], text: [], kind: kind, isImported: isImported, about: about,
            isErased: true, commit: commit, salt: .erased(HashChain.digest(of: self)))
    }
}

extension Records {
    /// The H of a message, which stays when it is erased; nil if it is not here.
    public func digest(of seq: Seq) -> Digest? { index(of: seq).map { HashChain.digest(of: self, at: $0) } }

    /// The seeds from which the salts of these messages can be made again. Other messages of the same runs may be in the
    /// blocks before and after.
    public func seeds(of seqs: Set<Seq>) -> Set<SaltSeed> {
        var seeds: Set<SaltSeed> = []
        for seq in seqs {
            if let index = index(of: seq), case .seed(let seed, _) = salt(at: index) { seeds.insert(seed) }
        }
        return seeds
    }

    /// Whether a message needs one of these seeds for its salt.
    public func uses(_ seeds: Set<SaltSeed>) -> Bool {
        salts.runs.contains { if case .seed(let seed, _) = $0.content { seeds.contains(seed) } else { false } }
    }

    /// These messages with those of `seqs` erased. Each other message whose seed is withdrawn keeps its salt alone.
    ///
    /// - Parameters:
    ///   - seeds: the `seeds(of:)` of all messages that are erased, in this block or in others.
    ///   - account: the account that is erased. Events that name it keep the rest of their words.
    public func erasing(
        _ seqs: Set<Seq>, withdrawing seeds: Set<SaltSeed>, of account: ErasedAccount? = nil
    ) -> Records {
        var kept = Records(firstSeq: firstSeq)
        kept.rows.reserveCapacity(count)
        for index in 0..<count {
            var record = self[index]
            if seqs.contains(record.seq) {
                record = account?.withoutName(record) ?? record.erased
            } else if case .seed(let seed, _) = record.salt, seeds.contains(seed), let salt = record.salt.salt {
                record.salt = .salt(salt)
            }
            kept.append(record)
        }
        return kept
    }
}

/// An account that is erased. Events have its number in place of its name, so that they still say who else did what.
public struct ErasedAccount: Sendable {
    /// The mark before a number. No name begins with it.
    public static let mark = UInt8(ascii: "#")

    private let name: [UInt8]
    private let number: [UInt8]

    public init(name: String, number: Int64) {
        (self.name, self.number) = (Array(name.utf8), [ErasedAccount.mark] + Array("\(number)".utf8))
    }

    /// Whether a message has something to be erased: it is the account's, or an event that names it. The sender of an imported
    /// message is no account.
    public func isIn(_ record: Record) -> Bool {
        !record.isImported && (record.sender == name || eventWithoutName(record) != nil)
    }

    /// Whether a message may be one, told without making a record of it.
    public func mayBeIn(_ records: Records, at index: Int) -> Bool {
        records.kind(at: index) == .event || records.sender(at: index) == name
    }

    /// The erased form of an event, with the number; nil for what is no event or does not name the account.
    func withoutName(_ record: Record) -> Record? {
        guard var erased = eventWithoutName(record) else { return nil }
        let digest = HashChain.digest(of: record)
        (erased.salt, erased.isErased, erased.via, erased.written) = (.erased(digest), true, nil, nil)
        return erased
    }

    private func eventWithoutName(_ record: Record) -> Record? {
        guard record.kind == .event, !record.isImported else { return nil }
        var event = record
        if event.sender == name { event.sender = number }
        // 'VERB NAME'. The words of other events are names of groups, or times.
        let verbs = ["added", "removed", "promoted", "demoted"]
        if let verb = verbs.first(where: { event.text.elementsEqual(Array("\($0) ".utf8) + name) }) {
            event.text = (Array("\(verb) ".utf8) + number)[...]
        }
        return event.sender == record.sender && event.text == record.text ? nil : event
    }
}
