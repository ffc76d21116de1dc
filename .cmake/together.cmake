# Files that are compiled as one, because most of what each costs is the same for all of them (the JSON that a verb
# includes takes longer than the verb): together they take a third off the build. The names of one group's helpers must
# differ. Files outside the groups, as a new layer or verb, are compiled alone; nothing else depends on this file.
#
#   sigma_together(target group patterns...)
function(sigma_together target group)
  file(GLOB files CONFIGURE_DEPENDS ${ARGN})
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  set_source_files_properties(${files} TARGET_DIRECTORY ${target} PROPERTIES UNITY_GROUP ${group})
endfunction()

sigma_together(sigma_core files core/json.cpp core/safetensors.cpp)
sigma_together(sigma_core tensor core/check.cpp core/create.cpp core/file.cpp core/npy.cpp core/platform.cpp
               core/print.cpp core/sha256.cpp core/storage.cpp core/tensor.cpp core/text.cpp)
sigma_together(sigma_core math core/arithmetic.cpp core/broadcast.cpp core/complex.cpp core/indexing.cpp core/linalg.cpp
               core/math.cpp core/rearrange.cpp core/reductions.cpp)
sigma_together(sigma_autograd engine autograd/engine.cpp autograd/gradcheck.cpp autograd/precision.cpp autograd/variable.cpp)
sigma_together(sigma_autograd ops autograd/arithmetic.cpp autograd/complex.cpp autograd/indexing.cpp autograd/linalg.cpp
               autograd/rearrange.cpp autograd/reductions.cpp)
sigma_together(sigma_layers modules layers/all_layers.cpp layers/checks.cpp layers/module.cpp layers/role.cpp
               layers/save.cpp layers/table.cpp layers/layer_text.cpp)
sigma_together(sigma_layers norms layers/*norm*.cpp)
sigma_together(sigma_layers layers layers/activations.cpp layers/affine.cpp layers/conv2d.cpp layers/conv_transpose2d.cpp layers/cross_entropy.cpp
               layers/dropout.cpp layers/flatten.cpp layers/linear.cpp layers/pooling.cpp layers/residual.cpp
               layers/sequential.cpp layers/softmax.cpp layers/upsample.cpp)
sigma_together(sigma_layers fused layers/fused/*.cpp)
sigma_together(sigma_layers passes layers/passes/*.cpp)
sigma_together(sigma_layers networks layers/networks/e*.cpp layers/networks/n*.cpp layers/networks/[st]*.cpp)
sigma_together(sigma_optim optim optim/*.cpp)
sigma_together(sigma_data data data/catalog.cpp data/dataset.cpp data/dataset_table.cpp data/loader.cpp
               data/transforms/*.cpp data/synthetic/objects.cpp)
sigma_together(sigma_data folders data/formats/folder_*.cpp data/formats/image_*.cpp data/synthetic/digits.cpp)
sigma_together(sigma_data formats data/formats/[cegijp][!m]*.cpp)
sigma_together(sigma_training training apps/training/[!c]*.cpp)
sigma_together(sigma_training checkpoint apps/training/c*.cpp)
if(SIGMA_BUILD_PROGRAM)
  sigma_together(sigma_app_lib flags apps/flags/*.cpp)
  sigma_together(sigma_app_lib run apps/run/*.cpp)
  sigma_together(sigma_app_lib pages apps/report/comparison*.cpp apps/report/spectrum.cpp)
  sigma_together(sigma_report report apps/report/c[!o]*.cpp apps/report/p*.cpp apps/report/run_page*.cpp)
  sigma_together(sigma experiments apps/experiments/experiment.cpp apps/experiments/page.cpp apps/experiments/slope.cpp)
  foreach(family bench data compare compress inspect train)
    sigma_together(sigma ${family} apps/verbs/${family}*.cpp)
  endforeach()
  sigma_together(sigma checkpoint apps/verbs/eval.cpp apps/verbs/outcomes.cpp apps/verbs/predict.cpp apps/verbs/fine_tune.cpp apps/verbs/saved_model.cpp)
  sigma_together(sigma looks apps/verbs/completion.cpp apps/verbs/env.cpp apps/verbs/gradcheck.cpp apps/verbs/man.cpp
                 apps/verbs/load_data.cpp apps/verbs/lr_find.cpp apps/verbs/reproduce.cpp apps/verbs/summary*.cpp
                 apps/verbs/shades.cpp apps/verbs/spectrum.cpp)
endif()
