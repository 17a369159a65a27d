/// Rows of `DecisionsTests`: what the fleet says.
let fleetRows = """
  # A ban of the fleet
  native | | A is banned by the fleet
  = tries fleet on A; A is blocked for 1d
  native | | A is banned by the fleet for 7200
  = tries fleet on A; A is blocked for 7200s
  native | | X1 is banned by the fleet
  = tries fleet on X1; X1 is blocked for 1d
  classic | | A is banned by the fleet
  = tries fleet on A; A is blocked for 1d
  native,no proof | | A is banned by the fleet
  = tries fleet on A; A is blocked for 1d
  native,command | | A is banned by the fleet
  = tries fleet on A; A is blocked for 1d
  native,hosts.deny,run | | A is banned by the fleet
  = tries fleet on A; A is blocked for 1d
  native,rate 1 | A is banned by the fleet; B is banned by the fleet | C is banned by the fleet
  = tries fleet on C; C is blocked for 1d
  native,60 s | | A is banned by the fleet
  = tries fleet on A; A is blocked for 1d
  native | A is banned by the fleet | A is banned by the fleet
  =
  native | A is banned by the fleet | A probes 23
  = tells of A; A is blocked already; writes A down as blocked
  native | A is banned by the fleet | A meets decoy 23
  = A is proven; opens the gate to A
  native | A is banned by the fleet for 60 | 60 s pass
  = lifts A (expired)
  native | A is banned by the fleet for 60; 60 s pass | A is banned by the fleet
  = tries fleet on A; A is blocked for 1d
  native | fleet fails | A is banned by the fleet
  = tries fleet on A
  native | X1 is banned by the fleet; X2 is banned by the fleet; X3 is banned by the fleet | X4 is banned by the fleet
  = tries fleet on X4; X4 is blocked for 1d
  # Renewed
  native | A is banned by the fleet for 60; 30 s pass | A is banned by the fleet
  = tries fleet on A; A stays blocked for 1d
  native | A is banned by the fleet for 60; 30 s pass; A is banned by the fleet | 31 s pass
  =
  native | A is banned by the fleet | A is banned by the fleet for 60
  = tries fleet on A; A stays blocked for 60s
  # What wins against it
  native,block 0 | | A is banned by the fleet
  =
  native,block 2 | | A is banned by the fleet
  =
  native,tcp off | | A is banned by the fleet
  =
  native | A is ignored | A is banned by the fleet
  = refuses the fleet A: the ignore file or `portsentry allow` names it
  native | A is the gateway | A is banned by the fleet
  = refuses the fleet A: it is the gateway
  native | | 127.0.0.1 is banned by the fleet
  = refuses the fleet 127.0.0.1: it is loopback
  native | | 224.0.0.1 is banned by the fleet
  = refuses the fleet 224.0.0.1: it is a multicast address
  native | A is the gateway; A is banned by the fleet | A is banned by the fleet
  =
  native | A is served | A is banned by the fleet
  = refuses the fleet A: it is the peer of an established connection
  native | A is asked | A is banned by the fleet
  = refuses the fleet A: it is the peer of a connection that this host opened
  native | A is served; A is banned by the fleet; A is served no more | 61 s pass
  = tries fleet on A; A is blocked for 86339s
  native | A is served; A is banned by the fleet | 59 s pass
  =
  native | A is served; A is banned by the fleet for 30; A is served no more | 61 s pass
  =
  native | A is banned by the fleet | A is ignored
  = lifts A (now on the ignore list)
  native | A is banned by the fleet | A is the gateway
  = lifts A (now the gateway, which is never blocked)
  native | A is banned by the fleet | A is let in
  = lifts A (by operator); answers: released
  native | A is banned by the fleet; B is banned by the fleet | all are let in
  = lifts B, A (by operator); answers: 2 let in
  native,fleet 2 | A is banned by the fleet; B is banned by the fleet | C is banned by the fleet
  = refuses the fleet C: 2 bans of the fleet are in force (FLEET_MAX)
  native,fleet 2 | A is banned by the fleet; B is banned by the fleet; C is banned by the fleet | D is banned by the fleet
  =
  native,fleet 1 | A is banned by the fleet for 60; 30 s pass | A is banned by the fleet
  = tries fleet on A; A stays blocked for 1d
  native,fleet 1 | A is banned by the fleet; A is lifted by the fleet | B is banned by the fleet
  = tries fleet on B; B is blocked for 1d
  native,fleet 1 | A is banned by the fleet | B is ordered
  = tries nftables on B; B is blocked for 60s; answers: B is blocked
  native,max 1 | A is banned by the fleet; B is banned by the fleet; C is called a scanner | C meets decoy 23
  = C is proven; tells of C; tries nftables on C; C is blocked for 1d; lists C; writes C down as blocked; opens the gate to C
  native,max 1 | C is called a scanner; C meets decoy 23 | A is banned by the fleet
  = tries fleet on A; A is blocked for 1d
  # Beside this host's own
  native | A is called a scanner; A meets decoy 23 | A is banned by the fleet
  =
  native,60 s | A is called a scanner; A meets decoy 23; A is banned by the fleet | 60 s pass
  = lifts A (expired); tries fleet on A; A is blocked for 86340s
  native,60 s | A is called a scanner; A meets decoy 23; A is banned by the fleet; A is lifted by the fleet | 60 s pass
  = lifts A (expired)
  native | A is called a scanner; A meets decoy 23; A is banned by the fleet | A is lifted by the fleet
  =
  native | A is ordered for ever; A is banned by the fleet | A is lifted by the fleet
  =
  native,command | A is called a scanner; A meets decoy 23 | A is banned by the fleet
  =
  native | A is banned by the fleet | A is ordered
  = tries nftables on A; A is blocked for 60s; answers: A is blocked
  # Lifted
  native | A is banned by the fleet | A is lifted by the fleet
  = lifts A (n2 was revoked)
  native | | A is lifted by the fleet
  =
  native | A is banned by the fleet; A is lifted by the fleet | A is lifted by the fleet
  =
  native | A is banned by the fleet; A is lifted by the fleet | A is banned by the fleet
  = tries fleet on A; A is blocked for 1d
  native | A is banned by the fleet | A is lifted by order
  =
  native | A is banned by the fleet | A is unbanned by order
  = lifts A (unbanned by the fleet's operator 9)
  native | A is called a scanner; A meets decoy 23 | A is unbanned by order
  = lifts A (unbanned by the fleet's operator 9)
  native | A is called a scanner; A meets decoy 23; A is unbanned by order | A meets decoy 24
  = A is proven; opens the gate to A
  native | A is ordered for ever | A is unbanned by order
  =
  native | X1 is banned by the fleet; X2 is banned by the fleet | X is unbanned by order
  = lifts X1, X2 (unbanned by the fleet's operator 9)
  # Orders of the fleet's operators
  native | | A is banned by order
  = tries fleet on A; A is blocked for 1d
  native | | X is banned by order
  = tries fleet on X; X is blocked for 1d
  native | X1 is served | X is banned by order
  = refuses the fleet X: 2001:db8:1:1::1 in it uses, or used within a day, a service of this host
  native | X1 is the gateway | X is banned by order
  = refuses the fleet X: it is a network that contains 2001:db8:1:1::1 (the gateway)
  native | X1 is ignored | X is banned by order
  = refuses the fleet X: the ignore file or `portsentry allow` names it
  native | A is banned by order | A is lifted by order
  = lifts A (n2 was revoked)
  native | A is banned by order | A is lifted by the fleet
  =
  native | A is banned by order | A is banned by the fleet for 60
  =
  native | A is banned by the fleet for 60 | A is banned by order
  = tries fleet on A; A stays blocked for 1d
  native,block 0 | | A is banned by order
  =
  # Hearsay: watched, and banned by what it does here
  native | | A is watched by the fleet at 2395
  =
  native | A is watched by the fleet at 2395 | A probes 23
  = tells of A; writes A down as waiting
  native | A is watched by the fleet at 2395 | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native | A is watched by the fleet at 2395 | A connects to 23
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  native | A meets decoy 23 | A is watched by the fleet at 2395
  = tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  native | A meets decoy 23; 3601 s pass | A is watched by the fleet at 2395
  =
  native | A is watched by the fleet at 2200 | A meets decoy 23
  = A is proven; opens the gate to A
  native | A is watched by the fleet at 2200; A meets decoy 23 | A meets decoy 24
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native | A is watched by the fleet at 30000 | A probes 23
  = tells of A; writes A down as waiting
  native,threshold 6000 | A is watched by the fleet at 30000 | A meets decoy 23
  = A is proven; opens the gate to A
  native,threshold 6000 | A is watched by the fleet at 30000; A meets decoy 23 | A meets decoy 24
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native,no proof | A is watched by the fleet at 2395 | A probes 23
  = tells of A; writes A down as waiting
  native | A is watched by the fleet at 2395 | A meets decoy 23 by cookie
  = opens the gate to A
  native | A is watched by the fleet at 2395 | B meets decoy 23
  = B is proven; opens the gate to B
  native | A is watched by the fleet at 2395; A is watched by the fleet at 0 | A meets decoy 23
  = A is proven; opens the gate to A
  native | A is watched by the fleet at 2395; A is lifted by the fleet | A meets decoy 23
  = A is proven; opens the gate to A
  native | A is watched by the fleet at 2395; A is unbanned by order | A meets decoy 23
  = A is proven; opens the gate to A
  native | A is watched by the fleet at 2395; 86400 s pass | A meets decoy 23
  = A is proven; opens the gate to A
  native | A is watched by the fleet at 2395; A is ignored | A meets decoy 23
  = opens the gate to A
  native | A is watched by the fleet at 2395; A is the gateway | A meets decoy 23
  = A is proven; tells of A; refuses A: it is the gateway; writes A down as failed; opens the gate to A
  native | A is watched by the fleet at 2395; A is served | A meets decoy 23
  = A is proven; spares A; opens the gate to A
  native,block 0 | A is watched by the fleet at 2395 | A meets decoy 23
  = A is proven; opens the gate to A
  native,block 0 | A meets decoy 23 | A is watched by the fleet at 2395
  =
  # CrowdSec: its word is not enough, with one connection here it is
  native | | A is watched by crowdsec
  =
  native | A is watched by crowdsec | A probes 23
  = tells of A; writes A down as waiting
  native | A is watched by crowdsec | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native | A meets decoy 23 | A is watched by crowdsec
  = tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  native | 203.0.65.0/24 is watched by crowdsec | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native | 203.0.65.0/24 is watched by crowdsec | B meets decoy 23
  = B is proven; opens the gate to B
  native | X is watched by crowdsec | X1 meets decoy 23
  = X1 is proven; tells of X1; tries nftables on X1; X1 is blocked for 1d; lists X1; writes X1 down as blocked; opens the gate to X1
  native | A is watched by crowdsec; A is watched by crowdsec no more | A meets decoy 23
  = A is proven; opens the gate to A
  native | A is watched by crowdsec; 7201 s pass | A meets decoy 23
  = A is proven; opens the gate to A
  native | A is watched by crowdsec; A is the gateway | A meets decoy 23
  = A is proven; tells of A; refuses A: it is the gateway; writes A down as failed; opens the gate to A
  native | A is watched by crowdsec; A is served | A meets decoy 23
  = A is proven; spares A; opens the gate to A
  # CrowdSec's bans by choice: the same permit as all
  native | | A is banned by crowdsec
  = tries fleet on A; A is blocked for 7200s
  native | | 203.0.65.0/24 is banned by crowdsec
  = tries fleet on 203.0.65.0/24; 203.0.65.0/24 is blocked for 7200s
  native | A is banned by crowdsec | A is banned by crowdsec no more
  = lifts A (CrowdSec bans it no more)
  native | A is banned by crowdsec | A is lifted by the fleet
  =
  native | A is banned by the fleet | A is banned by crowdsec no more
  =
  native | A is ordered | A is banned by crowdsec no more
  =
  native | A is ignored | A is banned by crowdsec
  = refuses the fleet A: the ignore file or `portsentry allow` names it
  native | A is the gateway | A is banned by crowdsec
  = refuses the fleet A: it is the gateway
  native | | 127.0.0.1 is banned by crowdsec
  = refuses the fleet 127.0.0.1: it is loopback
  native | A is served | A is banned by crowdsec
  = refuses the fleet A: it is the peer of an established connection
  native | A is served | 203.0.65.0/24 is banned by crowdsec
  = refuses the fleet 203.0.65.0/24: 203.0.65.1 in it uses, or used within a day, a service of this host
  native,block 0 | | A is banned by crowdsec
  =
  native,fleet 1 | A is banned by crowdsec | B is banned by crowdsec
  = refuses the fleet B: 1 bans of the fleet are in force (FLEET_MAX)
  # The trial
  native,trial | | A is banned by the fleet
  = tries fleet on A; A is blocked for 600s
  native,trial | A is banned by the fleet | 61 s pass
  =
  native,trial | A is banned by the fleet | 600 s pass
  = sets the gate anew; lifts A (the trial was not confirmed); says that the trial is over with 1;
    refuses the fleet A: the trial was not confirmed (`portsentry confirm`)
  native,trial | 600 s pass | A is banned by the fleet
  = refuses the fleet A: the trial was not confirmed (`portsentry confirm`)
  native,trial | A is banned by the fleet; the trial is confirmed | 61 s pass
  = tries fleet on A; A stays blocked for 86339s
  """
