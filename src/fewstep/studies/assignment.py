"""The assignment as a study: its systems, the figures it states, its claims and its pseudo-code."""

from fewstep.study import Claim, Stated, Study, System

MAML = "course-5w1s-maml"
FOMAML = "course-5w1s-fomaml"
ADAGRAD = "course-5w1s-adagrad"
DOA = "course-5w1s-doa"
MAMLPP = "course-5w1s-mamlpp"
MAMLPP_TRANSDUCTIVE = "course-5w1s-mamlpp-transductive"
REPTILE = "course-5w1s-reptile"
SINUSOID_MAML = "course-sinusoid-5s-maml"
SINUSOID_FOMAML = "course-sinusoid-5s-fomaml"
SINUSOID_PRETRAINED = "course-sinusoid-5s-pretrained"

FEW_SHOT = (
    "Few-shot learning asks a program to tell apart classes that it has never seen, from a handful of examples. In a "
    "5-way 1-shot task there are five handwritten characters: one drawing of each to learn from (the support set), and "
    "one more drawing of each to name (the queries). Guessing names one in five, 20 %. Meta-learning prepares a net "
    "for such tasks: over thousands of practice tasks it lets the net adapt to the support set by a few gradient steps "
    "(the inner loop), looks at the mistakes that are left on the queries, and moves the point where the net starts so "
    "that there will be fewer next time (an outer update)."
)

PROTOCOL = (
    "The protocol is the assignment's. The characters are Omniglot's, each turned by 0, 90, 180 and 270 degrees, every "
    "turn a class of its own: 3200 classes to train on and 656 to choose by (drawn at random, so turns of one "
    "character can lie on both sides), and 2636 classes of twenty alphabets never seen in training to test on. The "
    "net has four convolutions of 64 filters. Twenty updates are an epoch. Second order, first order and Adagrad "
    "train for 40 epochs, 800 updates, of 32 tasks each; the others say how long. The assignment tested each system "
    "once, on 600 predictions; we test on 1000 tasks of five queries, the same tasks for every system."
)

MAML_CODE = """\
repeat for every outer update:
    for each of 32 tasks:
        φ ← θ − 0.4 ∇ L_support(θ)
        g ← ∇_θ L_query(φ)            through the inner step: second derivatives
    θ ← Adam(θ, mean of g, rate 0.001)
test: three inner steps from θ, then name the queries"""

FOMAML_CODE = """\
repeat for every outer update:
    for each of 32 tasks:
        φ ← θ − 0.4 ∇ L_support(θ)
        g ← ∇_φ L_query(φ)            as if φ did not depend on θ: no second derivatives
    θ ← Adam(θ, mean of g, rate 0.001)
test: three inner steps from θ, then name the queries"""

ADAGRAD_CODE = """\
repeat for every outer update:
    for each of 32 tasks:
        φ ← θ,  n ← 0
        five times:
            h ← ∇ L_support(φ)
            n ← n + h²                 element by element
            φ ← φ − 0.15 h / √(n + 0.7)
        g ← ∇_θ L_query(φ)            through all five steps and through n
    θ ← Adam(θ, mean of g, rate 0.001)
test: five inner steps from θ, then name the queries"""

DOA_CODE = """\
repeat for every outer update of 150 epochs:
    for each of 32 tasks:
        φ ← θ − 0.4 ∇ L_support(θ)
        epochs 1 to 50:    g ← ∇_φ L_query(φ)     first order, cheap
        epochs 51 to 150:  g ← ∇_θ L_query(φ)     second order
    θ ← Adam(θ, mean of g, rate 0.001)
test: three inner steps from θ, then name the queries"""

MAMLPP_TRAINING = """\
α[i] ← 0.1 for every tensor; γ[i], β[i]: the norms' weights and biases in step i
repeat for every outer update:
    for each of 8 tasks:
        φ₀ ← θ
        for i in 0 … 4:
            φ_{i+1} ← φ_i − α[i] ∘ ∇ L_support(φ_i; γ[i], β[i])
        L ← Σ w_i L_query(φ_i)        w even at first, after 10 epochs all on the last
        g ← ∇ L                       first order for 20 epochs, second order after
    θ, α, γ, β ← Adam(…, mean of g, rate 0.001 falling along a cosine)
"""

MAMLPP_CODE = f"""\
{MAMLPP_TRAINING}    running batch-norm statistics of every inner step are kept
test: five inner steps from θ, then name the queries, on those statistics"""

MAMLPP_TRANSDUCTIVE_CODE = f"""\
{MAMLPP_TRAINING}test: five inner steps from θ, then name the queries, on the statistics of the queries themselves"""

REPTILE_CODE = """\
repeat for every outer update:
    for each of 5 tasks, of ten drawings a class:
        φ ← θ
        five times: φ ← Adam(φ, ∇ L(φ) on the next 10 drawings, rate 0.003)
    θ ← θ + ε (mean of φ − θ)         ε falls from 1 to 0; no query set, no second derivatives
test: fifty inner steps from θ on the 5 support drawings, then name the queries"""

SINUSOID_CODE = """\
repeat for every outer update:
    for each of 10 sinusoids, 5 points to adapt on and 5 to learn from:
        φ ← θ − 0.01 ∇ MSE_support(θ)
        g ← ∇_θ MSE_query(φ)          through the inner step
    θ ← Adam(θ, mean of g, rate 0.001)
test: ten inner steps of 0.001 from θ"""

SINUSOID_FOMAML_CODE = """\
repeat for every outer update:
    for each of 10 sinusoids, 5 points to adapt on and 5 to learn from:
        φ ← θ − 0.01 ∇ MSE_support(θ)
        g ← ∇_φ MSE_query(φ)          as if φ did not depend on θ
    θ ← Adam(θ, mean of g, rate 0.001)
test: ten inner steps of 0.001 from θ"""

PRETRAINED_CODE = """\
repeat for every outer update:
    θ ← Adam(θ, ∇_θ MSE over 5 points of each of 10 sinusoids, rate 0.001)   no inner step
test: ten gradient steps of 0.001 from θ"""

ASSIGNMENT = Study(
    name="assignment",
    title="The assignment, run again",
    introduction=(FEW_SHOT, PROTOCOL),
    systems=(
        System(recipe=MAML, label="Second-order MAML", pseudocode=MAML_CODE),
        System(
            recipe=FOMAML,
            label="First-order MAML",
            stated=Stated(492, 600, also="0.85 to 0.86 on validation"),
            pseudocode=FOMAML_CODE,
        ),
        System(
            recipe=ADAGRAD,
            label="Adagrad inner loop",
            stated=Stated(555, 600, also="second order, five steps"),
            remark="The assignment's inner rate is 0.4. Five second-order steps of it are ill-conditioned early on and "
            "hardly move here, so ours is 0.15.",
            pseudocode=ADAGRAD_CODE,
        ),
        System(
            recipe=DOA,
            label="Order annealing",
            stated=Stated(575, 600, also="150 epochs, 50 of them first order"),
            pseudocode=DOA_CODE,
        ),
        System(
            recipe=MAMLPP,
            label="MAML++, per-step statistics",
            remark="The assignment's report names per-step batch-norm running statistics as the tip that the course's "
            "code already holds. That code calls batch norm in training mode with no running statistics, so it does "
            "not; here MAML++ has them, and a query's prediction is its own.",
            pseudocode=MAMLPP_CODE,
        ),
        System(
            recipe=MAMLPP_TRANSDUCTIVE,
            label="MAML++, batch statistics",
            remark="The training is that of per-step statistics; the checkpoint is chosen and tested as the course's "
            "and the official code do it: on the statistics of the queries that are named together.",
            pseudocode=MAMLPP_TRANSDUCTIVE_CODE,
        ),
        System(
            recipe=REPTILE,
            label="Reptile",
            remark="Its paper trains for 100 000 updates at an inner rate of 0.001; ours has a fiftieth of them, "
            "and a rate that suits so few.",
            pseudocode=REPTILE_CODE,
        ),
        System(recipe=SINUSOID_MAML, label="Second-order MAML", pseudocode=SINUSOID_CODE),
        System(recipe=SINUSOID_FOMAML, label="First-order MAML", pseudocode=SINUSOID_FOMAML_CODE),
        System(recipe=SINUSOID_PRETRAINED, label="Pre-trained baseline", pseudocode=PRETRAINED_CODE),
    ),
    pair=(MAML, ADAGRAD),
    claims=(
        Claim(
            text="Adagrad climbs less steeply",
            measure="updates to the level",
            larger=ADAGRAD,
            smaller=MAML,
        ),
        Claim(text="Adagrad oscillates more", measure="spread", larger=ADAGRAD, smaller=MAML),
    ),
)
