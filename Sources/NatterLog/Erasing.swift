public import NatterCrypto
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

    /// The same messages with those of `seqs` erased. Each other message whose seed is withdrawn keeps its salt alone.
    ///
    /// - Parameter seeds: the `seeds(of:)` of all messages that are erased, in this block or in others.
    public func erasing(_ seqs: Set<Seq>, withdrawing seeds: Set<SaltSeed>) -> Records {
        var kept = Records(firstSeq: firstSeq)
        kept.rows.reserveCapacity(count)
        for index in 0..<count {
            var record = self[index]
            if seqs.contains(record.seq) {
                record = record.erased
            } else if case .seed(let seed, _) = record.salt, seeds.contains(seed), let salt = record.salt.salt {
                record.salt = .salt(salt)
            }
            kept.append(record)
        }
        return kept
    }
}
